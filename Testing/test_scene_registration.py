"""Registration between nodes and files, on real slides and against real slicer-core: Slicer's own transforms are the witness."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
vtk = pytest.importorskip("vtk")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "MedSR")]

from MedSRLib.errors import InputError  # noqa: E402
from MedSRLib.io import formats  # noqa: E402
from MedSRLib.jobs_here import run_here  # noqa: E402
from MedSRLib.metrics import dice  # noqa: E402
from MedSRLib.scene import nodes, nudge, registration_export, slide_transform, slides  # noqa: E402
from MedSRLib.scene.registration_jobs import RegisterJob  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402


def as_node(scene, path, name, labels=False):
    return nodes.add_node(scene, formats.read(path)[0], name, labels=labels)


def done(job):
    """The nodes of a job that is run in this process, and what it wrote."""
    try:
        outcome = run_here(job.specification())
        facts = json.loads(Path(outcome.outputs["registration"]).read_text())
        return job.collect(outcome), facts
    finally:
        job.close()


def carried(node, point) -> np.ndarray:
    """Where Slicer carries a point (RAS) that lies under a transform node, in world RAS."""
    general = vtk.vtkGeneralTransform()
    node.GetTransformToWorld(general)
    return np.array(general.TransformPoint(*point))


@pytest.fixture
def outlines_alone(scene, data_dir):
    """The gland of aaa0060's first slide, a label volume of 47 million pixels a slice, on T2 slice 13."""
    pair = data_dir / "pairs" / "aaa0060"
    mri = as_node(scene, pair / "aaa0060_T2.nii.gz", "T2")
    mask = as_node(scene, pair / "aaa0060_T2_prostate_label.nii.gz", "gland", labels=True)
    options = {"slice": 13, "slide_slice": 0, "orientation": "r0"}
    return RegisterJob(mri, options, slide=pair / "results" / "aaa0060_input_highres_region00_label.nii.gz", mri_mask=mask)


@pytest.fixture
def a_real_slide(scene, data_dir):
    """The H&E slice of aaa0043, whose tag is six-fold wrong, and the mask of the gland alone."""
    pair = data_dir / "pairs" / "aaa0043"
    mri = as_node(scene, pair / "aaa0043_prostate_label.nii.gz", "gland", labels=True)
    return mri, pair / "aaa0043_B.tiff"


def test_outlines_alone_become_segments_on_the_mris_grid_with_the_engines_dice(outlines_alone, tmp_path):
    results, facts = done(outlines_alone)
    matrix = np.array(facts["slide_to_patient"])
    for x, y in ((0, 0), (47.1, 0), (10, 40)):  # slide mm, LPS: RAS is (-x, -y)
        expected = (matrix @ (x, y, 0, 1))[:3] * (-1, -1, 1)
        assert carried(results.transform, (-x, -y, 0)) == pytest.approx(expected, abs=1e-6)
    assert results.slide is None and results.fused is None and results.warp is None
    (exported,) = formats.read(registration_export.export(results, tmp_path / "out")[2])
    mask = formats.read(tmp_path / "out" / "labelmap.nii.gz")[0]
    assert exported.affine == pytest.approx(nodes.volume_from_node(results.mri).affine, abs=1e-4)
    assert np.array_equal(exported.array, mask.array)
    truth = slicer.util.arrayFromVolume(outlines_alone.mri_mask)[13] != 0
    by_hand = dice(exported.array[13] == 1, truth)
    (row,) = csv.DictReader((tmp_path / "out" / "dice.csv").open())
    assert float(row["dice"]) == facts["dice"] and by_hand == pytest.approx(facts["dice"], abs=0.002) and by_hand > 0.935
    assert not exported.array[:13].any() and not exported.array[14:].any()


def test_what_is_exported_loads_in_slicer_and_moves_the_same_points(outlines_alone, tmp_path, scene):
    results, _ = done(outlines_alone)
    registration_export.export(results, tmp_path)
    storage, again = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode"), scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    storage.SetFileName(str(tmp_path / "transform.h5"))
    assert storage.ReadData(again)
    for point in ((0, 0, 0), (-30, -20, 1)):
        assert carried(again, point) == pytest.approx(carried(results.transform, point), abs=1e-5)


def test_a_warp_hangs_above_the_linear_transform_and_both_move_as_the_engine_says(outlines_alone, scene, tmp_path):
    """The composite .h5 that the engine wrote, and the exported one, read by SimpleITK, take a patient's point back to the slide."""
    import SimpleITK as sitk

    outlines_alone.options["deformable"] = True
    try:
        outcome = run_here(outlines_alone.specification())
        results = outlines_alone.collect(outcome)
        to_slide = sitk.ReadTransform(outcome.outputs["warp"])
    finally:
        outlines_alone.close()
    assert results.transform.GetParentTransformNode() is results.warp
    registration_export.export(results, tmp_path)
    written = sitk.ReadTransform(str(tmp_path / "warp.h5"))
    gland = np.argwhere(slicer.util.arrayFromVolume(outlines_alone.mri_mask)[13])
    affine = nodes.affine_from_node(results.mri)
    for row, column in gland[:: len(gland) // 7]:
        patient = (affine @ (column, row, 13, 1))[:3]
        on_slide = np.array(to_slide.TransformPoint(patient.tolist()))
        assert carried(results.transform, on_slide * (-1, -1, 1)) == pytest.approx(patient * (-1, -1, 1), abs=0.01)
        assert written.TransformPoint(patient.tolist()) == pytest.approx(on_slide, abs=1e-3)


def test_a_slide_from_a_file_lies_on_its_slice_under_the_transform(a_real_slide):
    mri, path = a_real_slide
    results, facts = done(RegisterJob(mri, {"slice": 12, "orientation": "r0"}, slide=path))
    slide = results.slide
    assert slide.IsA("vtkMRMLVectorVolumeNode") and slide.GetParentTransformNode() is results.transform
    assert 35 < facts["mpp"]["found_um"][0] < 46 and facts["dice"] > 0.93
    gland = slicer.util.arrayFromVolume(mri)[12] != 0
    # The tissue's middle: by Slicer's road from the picture's pixels to the MRI's, without the engine's.
    tissue = np.argwhere(slides.colours(slide).min(-1) < 200).mean(0)[::-1]
    matrix = vtk.vtkMatrix4x4()
    slide.GetIJKToRASMatrix(matrix)
    world = carried(results.transform, matrix.MultiplyPoint((*tissue, 0, 1))[:3])
    at = np.linalg.inv(nodes.affine_from_node(mri)) @ (*(world * (-1, -1, 1)), 1)
    assert at[2] == pytest.approx(12, abs=1e-6)
    assert np.linalg.norm((at[:2] - np.argwhere(gland).mean(0)[::-1]) * mri.GetSpacing()[:2]) < 2.0
    assert results.fused.IsA("vtkMRMLVectorVolumeNode") and results.segmentation.GetSegmentation().GetNumberOfSegments() == 1


def test_a_slide_of_the_scene_is_moved_and_kept(a_real_slide, scene):
    mri, path = a_real_slide
    slide = slides.load_slide(scene, path)
    count = scene.GetNumberOfNodesByClass("vtkMRMLVectorVolumeNode")
    results, facts = done(RegisterJob(mri, {"slice": 12, "orientation": "r0"}, slide=slide, fused=False))
    assert results.slide is slide and scene.GetNumberOfNodesByClass("vtkMRMLVectorVolumeNode") == count
    assert slides.mpp_of(slide) == pytest.approx(facts["mpp"]["used_um"])
    assert slide.GetSpacing()[2] == pytest.approx(mri.GetSpacing()[2])


def test_a_slide_laid_by_hand_is_taken_as_it_lies_or_started_from(a_real_slide, scene):
    mri, path = a_real_slide
    slide = slides.load_slide(scene, path, (38.0, 38.0))
    placed = slide_transform.lay(slide, mri, 12)
    results, found = done(RegisterJob(mri, {"slice": 12, "orientation": "f90", "mpp_um": 38.0}, slide=slide, fused=False))
    slide.SetAndObserveTransformNodeID(placed.GetID())
    slide_transform.set_matrix(placed, np.array(found["slide_to_patient"]))
    nudge.nudge(placed, turn_deg=5, shift_mm=(1, -2))
    pixels = np.array([(0, 0, 0), (60, 900, 0), (1200, 40, 0)])  # finest pixels; the engine may find another size for them
    by_hand = pixels * (0.038, 0.038, 1) @ slide_transform.matrix_of(placed)[:3, :3].T + slide_transform.matrix_of(placed)[:3, 3]
    taken, facts = done(RegisterJob(mri, {"transform_as": "result"}, slide=slide, placed=placed, fused=False))
    mm, matrix = np.array([*facts["mpp"]["used_um"], 1000]) / 1000, np.array(facts["slide_to_patient"])
    assert pixels * mm @ matrix[:3, :3].T + matrix[:3, 3] == pytest.approx(by_hand, abs=1e-6) and facts["slice"] == 12
    assert facts["dice"] < found["dice"]
    started, facts = done(RegisterJob(mri, {}, slide=slide, placed=placed, fused=False))
    assert facts["orientation"]["chosen"] == "f90" and facts["dice"] == pytest.approx(found["dice"], abs=0.01)


# --------------------------------------------------------------------------------------------------------------- by hand


@pytest.fixture
def a_laid_slide(scene):
    """A picture of 40 × 20 pixels of 1 mm with one dark corner, on slice 2 of an axial MRI stored left-handed."""
    mri = nodes.add_node(scene, Volume(np.zeros((5, 60, 50), np.int16), (1, 1, 3), (-20, -30, 7), np.diag([1.0, 1, -1])), "MRI")
    array = np.full((1, 20, 40, 3), 250, np.uint8)
    slide = nodes.add_node(scene, Volume(array, (1.0, 1.0, 1.0), (0.5, 0.5, 0.0)), "slide")
    return slide, mri, slide_transform.lay(slide, mri, 2)


def corner(transform):
    """LPS mm of the slide's outer corner."""
    return (slide_transform.matrix_of(transform) @ (0, 0, 0, 1))[:3]


def test_a_slide_is_laid_upright_on_the_middle_of_its_slice(a_laid_slide):
    """Middle of the MRI by hand: x -20 + 24.5, y -30 + 29.5, slice 2 at 7 - 6; the corner lies 20 mm right-hand-side left and 10 up."""
    _, _, transform = a_laid_slide
    assert corner(transform) == pytest.approx((4.5 - 20, -0.5 - 10, 1))
    assert np.linalg.det(slide_transform.matrix_of(transform)[:3, :3]) == pytest.approx(-1)  # as the MRI's own axes


def test_nudges_turn_shift_mirror_and_scale_about_the_middle_and_are_taken_back(a_laid_slide):
    """On an axial slice x points right and y down on the screen. By hand: the corner is (-20, -10) from the middle."""
    _, _, transform = a_laid_slide
    middle, start = np.array((4.5, -0.5, 1)), slide_transform.matrix_of(transform)
    for how, expected in (
        ({"turn_deg": 90}, (10, -20, 0)),  # clockwise: what was up and left is up and right
        ({"shift_mm": (3, 5)}, (-17, -5, 0)),
        ({"scale": 1.5}, (-30, -15, 0)),
        ({"mirror": True}, (20, -10, 0)),
    ):
        nudge.nudge(transform, **how)
        assert corner(transform) - middle == pytest.approx(expected), how
        assert np.sign(np.linalg.det(slide_transform.matrix_of(transform)[:3, :3])) == -1
        assert nudge.undo(transform) and np.array_equal(slide_transform.matrix_of(transform), start)
    assert not nudge.undo(transform) and nudge.nudged(transform) == 0


def test_nudges_say_what_cannot_be(a_laid_slide, scene):
    _, mri, transform = a_laid_slide
    with pytest.raises(Exception, match="a scale of 0 cannot be"):
        nudge.nudge(transform, scale=0)
    scene.RemoveNode(mri)
    with pytest.raises(InputError, match="was removed"):
        nudge.nudge(transform, turn_deg=1)


def test_an_export_after_a_move_by_hand_says_so(outlines_alone, tmp_path):
    results, before = done(outlines_alone)
    nudge.nudge(results.transform, turn_deg=3)
    registration_export.export(results, tmp_path)
    after = json.loads((tmp_path / "registration.json").read_text())
    assert np.array(after["slide_to_patient"]) == pytest.approx(slide_transform.matrix_of(results.transform))
    assert after["moved_by_hand"] == 1 and "moved by hand" in after["warnings"][-1]


def test_an_input_that_was_removed_meanwhile_leaves_nothing(a_real_slide, scene):
    mri, path = a_real_slide
    slide = slides.load_slide(scene, path)
    job = RegisterJob(mri, {"slice": 12, "orientation": "r0"}, slide=slide, fused=False)
    outcome = run_here(job.specification())
    scene.RemoveNode(slide)
    count = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="removed"):
        job.collect(outcome)
    job.close()
    assert scene.GetNumberOfNodes() == count


def test_points_on_a_slide_are_its_finest_pixels_whatever_it_lies_under(a_laid_slide):
    slide, _, transform = a_laid_slide
    nudge.nudge(transform, turn_deg=33, scale=1.2)
    world = carried(transform, (-7.25, -3.5, 0))  # slide mm (7.25, 3.5) in LPS, pixels of 1 mm
    assert slides.pixels_of(slide, world[None])[0] == pytest.approx((7.25, 3.5))
