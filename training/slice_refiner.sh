#!/bin/sh
# The released slice-refiner, from nothing: sh training/slice_refiner.sh FOLDER    (FOLDER holds the volumes that the splits name)
#
# Part 1 learns from slices as they are. Each later round begins with what came before, adds synthetic lesions and a loss for the
# contrast of small structures, and is averaged with the weights of part 1: lesions keep their contrast, hearts what they had.
# Every run can be resumed: add --ckpt_path training/runs/NAME/version_0/checkpoints/last.ckpt to its line.
set -e
data=$1
runs=training/runs
train() { python -m training.train fit --config "training/configs/$1.yaml" --data.init_args.root "$data" --trainer.logger.init_args.name "$2"; }
round() {  # name, weights to begin with, weight of the contrast, of the SSIM, share of hearts, steps, learning rate, seed
    python -m training.train fit --config training/configs/slice-refiner-lesions.yaml --data.init_args.root "$data" \
        --trainer.logger.init_args.name "$1" --model.init_args.initial "$2" --model.init_args.contrast_weight "$3" \
        --model.init_args.ssim_weight "$4" --data.init_args.cardiac_share "$5" --trainer.max_steps "$6" \
        --model.init_args.learning_rate "$7" --data.init_args.seed "$8"
}
publish() {  # run, its share in the average with part 1, folder that gets the model
    python -m training.publish --checkpoint "$runs/$1/version_0/checkpoints/last.ckpt" --begun-from "$begun" --share "$2" --half \
        --card training/cards/slice-refiner.json --root "$3"
}

train slice-refiner slice-refiner
begun=$runs/slice-refiner/version_0/checkpoints/best.ckpt
round lesions-1 "$begun" 40 0.6 0.60 2600 5e-4 2020
publish lesions-1 0.80 $runs/average-1
round lesions-2 $runs/average-1/slice-refiner/weights.safetensors 30 0.6 0.65 2600 4e-4 2021
publish lesions-2 0.85 $runs/average-2
round lesions-3 $runs/average-2/slice-refiner/weights.safetensors 30 0.4 0.70 2500 4e-4 2022
publish lesions-3 0.85 MedSR/MedSRLib/models
