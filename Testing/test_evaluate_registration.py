"""Evaluating registrations: RAPSODI's labels of a real case against SimpleITK's own filters, known likenesses, cohorts."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from MedSRLib import cli
from MedSRLib.errors import InputError, OptionError
from MedSRLib.io import case_table, formats, outline_geojson
from MedSRLib.io.outline_files import read_outlines
from MedSRLib.metrics import entropy_bits, mutual_information_bits, ssim
from MedSRLib.outlines import Outline, joined
from MedSRLib.tasks.evaluate_registration import evaluate_registration, score_cohort
from MedSRLib.tasks.registration_measures import compared

sitk = pytest.importorskip("SimpleITK")
SLICES = (13, 14)
MPP = 7.2


@pytest.fixture(scope="module")
def cohort(data_dir, tmp_path_factory) -> Path:
    """A folder with the registrations of two slides of aaa0060, slice13 and slice14, and RAPSODI's labels as references.csv says."""
    folder = data_dir / "pairs/aaa0060"
    out = tmp_path_factory.mktemp("cohort ü")
    mask = formats.read(folder / "aaa0060_T2_prostate_label.nii.gz")[0]
    gland, cancer = (formats.read(folder / f"results/aaa0060_moved_region0{n}_label.nii.gz")[0].array > 0 for n in (0, 1))
    names = {1: "Prostate", 2: "cancer"}  # RAPSODI's labels share the T2's voxels, not its direction
    formats.write(out / "truth.seg.nrrd", mask.with_(array=(gland * 1 + (gland & cancer)).astype(np.uint8), meta={"segments": names}))
    lines = ["case,reference"]
    for number, k in enumerate(SLICES):
        found = []
        for region, name in (("00", "prostate"), ("01", "cancer")):
            label = folder / f"results/aaa0060_input_highres_region{region}_label.nii.gz"
            found.append(Outline(name, joined(read_outlines(label, slice_index=number).outlines)[0].polygons))
        outline_geojson.write(out / f"slide{number}.geojson", found)
        words = [folder / "aaa0060_T2.nii.gz", out / f"slide{number}.geojson", out / f"slice{k}"]
        flags = ["--mri-mask", folder / "aaa0060_T2_prostate_label.nii.gz", "--slice", k, "--orientation", "r0", "--mpp", MPP, "--quiet"]
        assert cli.main(["register-slide", *map(str, words + flags)]) == 0
        lines.append(f"slice{k},truth.seg.nrrd")
    (out / "references.csv").write_text("\n".join(lines), encoding="utf-8")
    return out


def by_simpleitk(ours: np.ndarray, truth: np.ndarray, spacing: tuple[float, float]) -> tuple[float, float, float]:
    """(Dice, 95 % Hausdorff distance, distance of centroids) of two planes."""
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (ours, truth)]
    for image in images:
        image.SetSpacing(spacing)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(*images)
    rims = [sitk.GetArrayFromImage(sitk.LabelContour(image, False)) > 0 for image in images]
    maps = []
    for rim in rims:
        image = sitk.GetImageFromArray(rim.astype(np.uint8))
        image.SetSpacing(spacing)
        maps.append(np.abs(sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))))
    far = max(np.percentile(maps[1][rims[0]], 95), np.percentile(maps[0][rims[1]], 95))
    centres = []
    for image in images:
        shape = sitk.LabelShapeStatisticsImageFilter()
        shape.Execute(image)
        centres.append(np.array(shape.GetCentroid(1)))
    return overlap.GetDiceCoefficient(), far, float(np.linalg.norm(centres[0] - centres[1]))


def test_outlines_are_measured_as_simpleitk_measures_them(cohort):
    folder = cohort / "slice14"
    truth, labels = (formats.read_labels(path)[0] for path in (cohort / "truth.seg.nrrd", folder / "labels.seg.nrrd"))
    made = evaluate_registration(folder, reference=truth)
    assert [(row["case"], row["outline"]) for row in made.table] == [("slice14", "prostate"), ("slice14", "cancer")]
    gland, cancer = labels.array[14, ..., 0] == 1, labels.array[14, ..., 1] == 2
    pairs = [(gland, truth.array[14] > 0), (cancer, truth.array[14] == 2)]
    for row, (ours, other) in zip(made.table, pairs, strict=True):
        dice, far, away = by_simpleitk(ours, other, labels.spacing_mm[:2])
        assert row["dice"] == pytest.approx(dice, abs=1e-9) and row["centroid_distance_mm"] == pytest.approx(away, abs=1e-6)
        assert row["hausdorff95_mm"] == pytest.approx(far, abs=1e-3)
        assert row["reference_mm2"] == pytest.approx(other.sum() * np.prod(labels.spacing_mm[:2]))
    assert made.table[0]["dice"] > 0.9 and made.table[0]["folded_share"] == 0 and made.table[1]["folded_share"] is None
    assert "no fused image" in " ".join(made.report["warnings"])


def test_landmarks_that_a_shift_of_3_and_4_mm_moved_are_5_mm_away(cohort, tmp_path):
    facts = json.loads((cohort / "slice13/registration.json").read_text())
    pixels = np.array([[500.0, 600], [3000, 900], [2600, 2900]])
    slide = np.column_stack([pixels * MPP / 1000, np.zeros(3), np.ones(3)])
    plane = formats.read(cohort / "slice13/labelmap.nii.gz")[0].direction
    patient = (slide @ np.array(facts["slide_to_patient"]).T)[:, :3] + plane[:, 0] * 3 + plane[:, 1] * 4
    rows = ["slide_x,slide_y,lps_x,lps_y,lps_z", *(",".join(map(str, row)) for row in np.hstack([pixels, patient]))]
    (tmp_path / "points.csv").write_text("\n".join(rows))
    first = evaluate_registration(cohort / "slice13", landmarks=tmp_path / "points.csv").table[0]
    assert first["landmark_median_mm"] == pytest.approx(5, abs=1e-3) and first["landmark_max_mm"] == pytest.approx(5, abs=1e-3)
    assert first["dice"] == pytest.approx(facts["dice"]), "without a reference: against the mask that drove it"


def test_a_cohort_by_the_command_gives_table_1(cohort, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["evaluate", "registration", str(cohort), "--cases", str(cohort / "references.csv"), "--out", str(out), "--quiet"]) == 0
    shown = capsys.readouterr().out
    with (out / "registration.csv").open() as file:
        rows = list(csv.DictReader(file))
    dice = [float(row["dice"]) for row in rows if row["outline"] == "prostate"]
    assert [row["case"] for row in rows] == ["slice13", "slice13", "slice14", "slice14"] and len(dice) == 2
    with (out / "table1.csv").open() as file:
        first = next(csv.DictReader(file))
    assert first["measure"] == "Dice, prostate" and first["cases"] == "2"
    assert float(first["mean"]) == pytest.approx(sum(dice) / 2) and float(first["sd"]) == pytest.approx(abs(dice[0] - dice[1]) / 2**0.5)
    text = (out / "table1_text.md").read_text(encoding="utf-8")
    assert f"| Dice, prostate | 2 | {sum(dice) / 2:.3f} ± {abs(dice[0] - dice[1]) / 2**0.5:.3f} |" in text and "Dice, prostate" in shown
    assert (out / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_likeness_of_a_picture_to_itself_and_to_noise():
    random = np.random.default_rng(0)
    mri = np.clip(np.cumsum(random.normal(0, 4, (300, 300)), 1) + 128, 0, 255)
    tissue = np.zeros(mri.shape, bool)
    tissue[100:200, 100:200] = True
    itself = compared(mri, mri, tissue)
    assert itself["ssim"] == pytest.approx(1) and itself["mi_bits"] == pytest.approx(entropy_bits(mri, 64, (0, 255)))
    assert itself["mi_tissue_bits"] == pytest.approx(itself["entropy_tissue_bits"]) and itself["entropy_tissue_bits"] <= 6
    pasted = np.where(tissue, random.uniform(0, 255, mri.shape), mri)
    apart = compared(pasted, mri, tissue)
    assert apart["ssim"] > 0.85 and apart["ssim_tissue"] < 0.1, "copying the MRI around the tissue scores high, so both are told"
    assert apart["ssim"] == pytest.approx(ssim(mri, pasted, 255.0)) and 0 <= apart["mi_tissue_bits"] < 0.5


def test_mutual_information_of_what_can_be_counted_by_hand():
    a = np.repeat([10.0, 200.0], 50)
    b = np.tile(np.repeat([10.0, 200.0], 25), 2)
    assert mutual_information_bits(a, a, 64, (0, 255)) == pytest.approx(1)
    assert mutual_information_bits(a, b, 64, (0, 255)) == pytest.approx(0, abs=1e-12)
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    c, d = np.random.default_rng(0).integers(0, 8, (2, 500))
    bits = metrics.mutual_info_score(c, d) / np.log(2)
    assert mutual_information_bits(c, d, 8, (-0.5, 7.5)) == pytest.approx(bits)


def test_a_fused_picture_of_a_real_slide_is_compared_with_its_mri(data_dir, tmp_path):
    """Opacity 0 shows the MRI's brightness: inside the tissue far more alike than the slide's own brightness is."""
    folder = data_dir / "pairs/aaa0043"
    mask = formats.read(folder / "aaa0043_prostate_label.nii.gz")[0]
    y, x = np.indices(mask.array.shape[1:])
    waves = (400 + 300 * np.sin(x / 4.0) * np.cos(y / 5.0)).astype(np.int16)
    formats.write(tmp_path / "mri.nii.gz", mask.with_(array=np.broadcast_to(waves, mask.array.shape).copy()))
    found = {}
    for opacity in ("0", "1"):
        words = [
            tmp_path / "mri.nii.gz",
            folder / "aaa0043_B.tiff",
            tmp_path / opacity,
            "--mri-mask",
            folder / "aaa0043_prostate_label.nii.gz",
        ]
        flags = ["--slice", "12", "--orientation", "r0", "--method", "mask", "--opacity", opacity, "--quiet"]
        assert cli.main(["register-slide", *map(str, words), *flags]) == 0
        found[opacity] = evaluate_registration(tmp_path / opacity).table[0]
    assert (
        found["0"]["ssim_tissue"] > 0.8 > 0.5 > found["1"]["ssim_tissue"]
        and found["0"]["mi_tissue_bits"] > 2 * found["1"]["mi_tissue_bits"]
    )
    assert found["1"]["ssim"] > found["1"]["ssim_tissue"]
    (tmp_path / "mri.nii.gz").unlink()
    said = evaluate_registration(tmp_path / "1")
    assert said.table[0]["ssim"] is None and "no MRI where it was" in " ".join(said.report["warnings"])


def test_what_cannot_be_measured_is_refused_and_why(cohort, tmp_path):
    truth = formats.read(cohort / "truth.seg.nrrd")[0]
    with pytest.raises(InputError, match="no registration.json in it"):
        evaluate_registration(tmp_path)
    with pytest.raises(OptionError, match="belongs to one case"):
        score_cohort({"a": cohort}, reference=truth)
    with pytest.raises(InputError, match="does not lie on the MRI's grid"):
        evaluate_registration(cohort / "slice13", reference=truth.with_(array=truth.array, origin_mm=(0, 0, 0)))
    bladder = truth.with_(array=truth.array, meta={"segments": {1: "bladder", 2: "rectum"}})
    with pytest.raises(InputError, match="no outline \\(prostate, cancer\\) is named as one of the reference \\(bladder, rectum\\)"):
        evaluate_registration(cohort / "slice13", reference=bladder)
    shutil.copytree(cohort / "slice13", tmp_path / "broken")
    (tmp_path / "broken/registration.json").write_text("{}")
    with pytest.raises(InputError, match="is no registration's report"):
        evaluate_registration(tmp_path / "broken")


def test_without_a_reference_the_labels_are_measured_anew_where_the_mask_still_lies(cohort, tmp_path):
    """Labels that were edited since get their own figure, not the one that the registration noted."""
    folder = tmp_path / "edited"
    shutil.copytree(cohort / "slice14", folder)
    labels = formats.read_labels(folder / "labels.seg.nrrd")[0]
    array = labels.array.copy()
    upper = array[14, : int(np.median(np.nonzero(array[14])[0])), :, 0]
    upper[upper == 1] = 0
    formats.write(folder / "labels.seg.nrrd", labels.with_(array=array))
    facts = json.loads((folder / "registration.json").read_text())
    mask = formats.read(facts["provenance"]["inputs"]["mri_mask"]["path"])[0].array[14] > 0
    dice, _, _ = by_simpleitk(array[14, ..., 0] == 1, mask, labels.spacing_mm[:2])
    made = evaluate_registration(folder)
    assert made.table[0]["dice"] == pytest.approx(dice, abs=1e-9) and dice < facts["dice"] - 0.1
    facts["provenance"]["inputs"]["mri_mask"]["path"] = "/nowhere/mask.nii.gz"
    (folder / "registration.json").write_text(json.dumps(facts))
    copied = evaluate_registration(folder)
    assert copied.table[0]["dice"] == facts["dice"] and "nothing was measured anew" in " ".join(copied.report["warnings"])


def test_a_grade_that_is_not_good_stands_beside_the_figures(cohort, tmp_path):
    folder = tmp_path / "refused"
    shutil.copytree(cohort / "slice13", folder)
    facts = json.loads((folder / "registration.json").read_text())
    (folder / "registration.json").write_text(json.dumps(facts | {"grade": "refused", "reasons": ["it folds"]}))
    made = evaluate_registration(folder)
    assert [row["grade"] for row in made.table] == ["refused", "refused"] and "refused: graded refused: it folds" in made.report["warnings"]


def test_labels_that_another_program_saved_and_labels_that_are_not_all_there(cohort, tmp_path):
    """SimpleITK writes layers as a vector; a case that cannot be measured leaves the others."""
    folder = tmp_path / "saved"
    shutil.copytree(cohort / "slice14", folder)
    image = sitk.ReadImage(str(folder / "labels.seg.nrrd"))
    sitk.WriteImage(image, str(folder / "labels.seg.nrrd"))
    assert b"kinds: vector" in (folder / "labels.seg.nrrd").read_bytes()[:600]
    before, after = (evaluate_registration(one).table for one in (cohort / "slice14", folder))
    assert [row["dice"] for row in before] == [row["dice"] for row in after]
    empty = sitk.GetArrayFromImage(image)
    empty[..., 0] = 0
    bare = sitk.GetImageFromArray(empty, isVector=True)
    bare.CopyInformation(image)
    for key in image.GetMetaDataKeys():
        bare.SetMetaData(key, image.GetMetaData(key))
    sitk.WriteImage(bare, str(folder / "labels.seg.nrrd"))
    assert "saved: the labels hold nothing of 'prostate' on slice 14" in evaluate_registration(folder).report["warnings"]
    (folder / "labels.seg.nrrd").write_bytes(b"no labels")
    shutil.copytree(cohort / "slice13", tmp_path / "whole")
    made = score_cohort({"all": tmp_path})
    assert {row["case"] for row in made.table} == {"whole"} and "saved is left out" in " ".join(made.report["warnings"])
    (folder / "labels.seg.nrrd").unlink()
    assert "labelmap.nii.gz is measured" in " ".join(evaluate_registration(folder).report["warnings"])


def test_a_slide_that_was_moved_by_hand_is_measured_with_a_warning(cohort, tmp_path):
    folder = tmp_path / "moved"
    shutil.copytree(cohort / "slice13", folder)
    facts = json.loads((folder / "registration.json").read_text())
    (folder / "registration.json").write_text(json.dumps(facts | {"moved_by_hand": 2}))
    assert "moved by hand after the registration" in " ".join(evaluate_registration(folder).report["warnings"])


def test_a_row_of_the_table_without_a_registration_is_left_out_and_told(cohort, tmp_path, capsys):
    table = tmp_path / "cases.csv"
    table.write_text("case,slide\nslice13,a.geojson\nfailed,b.geojson\nslice14,c.geojson")
    assert cli.main(["evaluate", "registration", str(cohort), "--cases", str(table), "--out", str(tmp_path / "e"), "--quiet"]) == 0
    assert "failed: there is no registration of it, so it is left out" in capsys.readouterr().err
    folder = tmp_path / "batch"
    shutil.copytree(cohort, folder)
    (folder / "summary.csv").write_text("case,status\nslice13,done\nslice14,failed\n")
    table.write_text("case,slide\nslice13,a.geojson\nslice14,c.geojson")
    assert cli.main(["evaluate", "registration", str(folder), "--cases", str(table), "--out", str(tmp_path / "e2"), "--quiet"]) == 0
    assert "slice14: its last run failed" in capsys.readouterr().err
    with (tmp_path / "e2/registration.csv").open() as file:
        assert {row["case"] for row in csv.DictReader(file)} == {"slice13"}
    table.write_text("case,slide\nfailed,b.geojson\n")
    assert cli.main(["evaluate", "registration", str(cohort), "--cases", str(table), "--quiet"]) == 2
    assert "no registration of any of its 1 cases" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,mri\na,b", "no column 'case'"),
        ("case,mri", "no column 'case', or no row"),
        ("case;mri\na;b", "separated by semicolons; save it with commas"),
        ("case,mri\na/b,x", "'a/b' is not a name for a folder"),
        ("case,mri\n..,x", "'..' is not a name for a folder"),
        ("case,mri\na,x\nA,y", "the case 'A' is there twice"),
        ("case,mri\na,x,y", "line 2 has more cells"),
    ],
)
def test_a_table_of_cases_that_is_none_is_refused(text, sentence, tmp_path):
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        case_table.read_cases(tmp_path / "cases.csv")
