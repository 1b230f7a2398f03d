"""Training, scoring and publishing of the released models. From the top of the repository, with the extra `train` installed:

    python -m training.train fit --config training/configs/slice-refiner.yaml          # volumes in the folder data, or
        --data.init_args.root FOLDER                                                    # … wherever they lie
        --ckpt_path training/runs/slice-refiner/version_0/checkpoints/last.ckpt         # resume
        --trainer.devices 4 --trainer.strategy ddp                                      # several GPUs
    python -m training.train fit --config training/configs/sr-cyclegan.yaml            # or sr-unit, cyclegan, unit, ct-super-resolver
        --model.init_args.mm_weight 0                                                   # without the multi-modality loss
    python -m training.train fit --config training/configs/dsgan.yaml                  # learned degradation, for pairs afterwards
    python -m training.phantom_set --verify                                            # is the frozen test set what it was?
    python -m training.evaluate_ct --models sr-cyclegan=CHECKPOINT … --data FOLDER --out DIR   # phantoms, and a real chest CT
    python -m training.ct_calibration --models ct-super-resolver --out DIR                     # is the map of what to trust right?
    python -m training.evaluate_bone --models bone=CHECKPOINT --data FOLDER --out DIR          # ct-super-resolver-bone
    python -m training.train fit --config training/configs/dino-mri.yaml               # and dino-slide: features without labels
    python -m training.train fit --config training/configs/slide-matching.yaml         # or prosregnet: slide to MRI, known warps
    python -m training.train fit --config training/configs/place-features.yaml         # features of places, what ships
    python -m training.registration_test_set --data FOLDER --verify                            # pseudo-MRI of held-out slides
    python -m training.evaluate_matching --data FOLDER --out DIR
        --models scratch=CHECKPOINT pretrained=CHECKPOINT … --neighbours places=CHECKPOINT …       # regressions; features' neighbours
    python -m training.evaluate --data FOLDER/cardiac/acdc_5mm --models slice-refiner slice-autoencoder --out DIR
    python -m training.anatomy --data FOLDER --out DIR                                      # brain, prostate, spine, heart …
    python -m training.figures --data FOLDER/cardiac/acdc_5mm --models slice-refiner --out DIR
    sh training/slice_refiner.sh FOLDER                                                     # the released default, all its rounds
    python -m training.publish --checkpoint FILE --card training/cards/slice-refiner.json --figures acdc_5mm=DIR

configs: one for each released model. cards: what their cards say beside what is measured. splits: which subjects train,
which validate, which are held out. runs, cache: written here, never committed; the CT runs leave a picture of fixed
validation patches each epoch in the folder grids beside their metrics.
"""
