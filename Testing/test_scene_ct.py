"""Regions of interest, routing and a first region, against real slicer-core: Slicer's own nodes are the witness."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
vtk = pytest.importorskip("vtk")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "MedSR")]

from ct_models import make_model  # noqa: E402
from MedSRLib import lungs  # noqa: E402
from MedSRLib.errors import InputError  # noqa: E402
from MedSRLib.geometry_region import Box, hollow_along, resample_along  # noqa: E402
from MedSRLib.io import formats  # noqa: E402
from MedSRLib.scene import ct_jobs, exchange, modality, nodes, region_default, regions, routing  # noqa: E402
from MedSRLib.tasks import ct_plan  # noqa: E402
from MedSRLib.tasks.ct_region import cut, hollow  # noqa: E402
from MedSRLib.tasks.super_resolve_ct import Options, super_resolve_ct  # noqa: E402
from MedSRLib.volume import Volume  # noqa: E402
from test_scene import rotation  # noqa: E402

OBLIQUE = rotation(0, 33) @ rotation(1, -20) @ rotation(2, 71)


def a_scan(direction=np.eye(3), **changes) -> Volume:
    """12 slices of 30 × 24, HU of lung with noise; anisotropic, off the origin."""
    array = np.random.default_rng(3).integers(-950, -600, (12, 24, 30)).astype(np.int16)
    return Volume(array, (0.8, 0.8, 2.0), (-41.5, 17.25, 203.0), direction, meta={"name": "chest", "modality": "CT"}).with_(**changes)


def a_roi(scene, centre_ras, size, turn=np.eye(3)):
    """A region node made by Slicer's own members."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    node.CreateDefaultDisplayNodes()
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, centre_ras
    node.SetAndObserveObjectToNodeMatrix(slicer.util.vtkMatrixFromArray(matrix))
    node.SetSize(*size)
    return node


def under(node, matrix):
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.array(matrix, float)))
    node.SetAndObserveTransformNodeID(transform.GetID())


def ras_of(volume, ijk) -> np.ndarray:
    return (volume.affine @ np.append(ijk, 1.0))[:3] * (-1, -1, 1)


# ------------------------------------------------------------------------------------------------------------ regions


@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE, np.diag([1.0, 1, -1])], ids=["axial", "oblique", "left-handed"])
def test_the_voxels_of_a_region_are_those_that_slicer_says_lie_in_it(scene, direction):
    """The region lies along the voxels, and nowhere near a voxel's centre."""
    volume = a_scan(direction)
    roi = a_roi(scene, ras_of(volume, (12.3, 10.2, 5.1)), (8.3, 6.1, 7.1), np.diag([-1.0, -1, 1]) @ direction)
    found = cut(volume, regions.text_of_roi(roi), (0, 0), in_hu=True)
    inside = np.zeros(volume.shape, bool)
    for k, j, i in np.ndindex(*volume.shape):
        inside[k, j, i] = roi.IsPointInROIWorld(ras_of(volume, (i, j, k)))
    marked = np.zeros(volume.shape, bool)
    marked[tuple(slice(*ends) for ends in found.ranges)] = True
    assert inside.sum() > 100 and np.array_equal(marked, inside)


@pytest.mark.parametrize("above", ["nothing", "turned and moved", "scaled"])
def test_the_corners_of_a_rotated_region_are_where_slicer_shows_them(scene, above):
    roi = a_roi(scene, (10, -20, 30), (8, 6, 4), OBLIQUE)
    matrix = np.eye(4)
    if above == "turned and moved":
        matrix[:3, :3], matrix[:3, 3] = rotation(2, 40) @ rotation(0, 10), (5, 6, 7)
    if above == "scaled":
        matrix[:3, :3] *= 1.5
    if above != "nothing":
        under(roi, matrix)
    box = regions.box_of_text(regions.text_of_roi(roi), a_scan())
    corners = [(i, j, k) for i in (-4, 4) for j in (-3, 3) for k in (-2, 2)]
    shown = [(matrix @ np.append(OBLIQUE @ c + (10, -20, 30), 1))[:3] * (-1, -1, 1) for c in corners]
    distance = np.linalg.norm(np.array(shown)[:, None] - box.corners_mm[None], axis=2)
    assert distance.min(axis=1).max() < 1e-6 and distance.min(axis=0).max() < 1e-6


def test_a_region_along_the_axes_is_written_short(scene):
    assert regions.text_of_roi(a_roi(scene, (10, -20, 30), (8, 6, 4))) == "-10.0,20.0,30.0,8.0,6.0,4.0"


def test_a_region_that_cannot_be_used_is_refused_in_a_sentence(scene):
    new = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "new")
    with pytest.raises(InputError, match="new: the region has not been placed; draw"):
        regions.text_of_roi(new)
    with pytest.raises(InputError, match="no volume"):
        regions.text_of_roi(a_roi(scene, (0, 0, 0), (5, 0, 5)))
    sheared = a_roi(scene, (0, 0, 0), (5, 5, 5))
    under(sheared, [[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    with pytest.raises(InputError, match="shears"):
        regions.text_of_roi(sheared)
    warped = a_roi(scene, (0, 0, 0), (5, 5, 5))
    warped.SetAndObserveTransformNodeID(scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp").GetID())
    with pytest.raises(InputError, match="the region is under a warping transform; harden"):
        regions.text_of_roi(warped)


@pytest.mark.parametrize("text", ["10,20,30,8,6,4", "ijk,3,9,4,12,2,5", "turned"])
def test_a_text_becomes_a_node_of_the_same_voxels(scene, text):
    volume = a_scan()
    if text == "turned":
        text = "-30,25,214,8,6,9," + ",".join(str(n) for n in OBLIQUE.T.ravel())
    if text[0] == "1":
        volume = a_scan(origin_mm=(0.0, 15.0, 20.0))
    node = regions.add_roi_of_text(scene, text, nodes.add_node(scene, volume, "chest"), "R")
    asked, again = (cut(volume, t, (0, 0), in_hu=False) for t in (text, regions.text_of_roi(node)))
    assert again.volume.shape == asked.volume.shape and again.volume.affine == pytest.approx(asked.volume.affine, abs=1e-6)
    assert np.array_equal(again.volume.array, asked.volume.array)
    assert regions.add_roi_of_text(scene, "", nodes.add_node(scene, volume, "chest"), "R") is None


# ---------------------------------------------------------------------------------------------------- plans from headers


def test_a_plan_needs_no_voxels_and_its_grid_is_the_one_that_is_made():
    volume = a_scan(OBLIQUE)
    middle = (volume.affine @ (15, 12, 6, 1))[:3]
    box = Box(middle, np.array([9.0, 7.0, 8.0]), rotation(2, 25))
    made, _ = resample_along(volume, box)
    planned = hollow_along(volume, box)
    assert planned.shape == made.shape and planned.affine == pytest.approx(made.affine)
    text = "ijk,3,9,4,12,2,5"
    assert hollow(volume, text).affine == pytest.approx(cut(volume, text, (0, 0), in_hu=True).volume.affine)


def test_a_rotated_region_is_outside_exactly_where_it_shares_no_space_with_the_scan():
    """Against points strewn through the box: where one lies in the scan it is inside; a box far from any is outside."""
    rng, volume = np.random.default_rng(1), a_scan()
    size = np.array(volume.shape[::-1]) * volume.spacing_mm
    low = np.array(volume.origin_mm) - np.array(volume.spacing_mm) / 2
    told = []
    for _ in range(120):
        turn = rotation(0, rng.uniform(0, 90)) @ rotation(2, rng.uniform(5, 85))
        box = Box(low + rng.uniform(-0.7, 1.7, 3) * size, rng.uniform(4, 14, 3), turn)
        points = box.centre_mm + (rng.uniform(-0.5, 0.5, (20000, 3)) * box.size_mm) @ turn.T
        inside = bool(np.all((points >= low) & (points <= low + size), axis=1).any())
        try:
            hollow_along(volume, box)
            outside = False
        except InputError:
            outside = True
        told.append((inside, outside))
    wrong = [pair for pair in told if pair[0] == pair[1]]
    assert not any(inside and outside for inside, outside in told)
    assert len(wrong) <= 2 and {pair[0] for pair in told} == {True, False}  # a sliver may be missed by every point


def test_what_is_foretold_is_what_is_made():
    """Size by hand, bytes as numpy counts them; the time is that of the constants: a voxel 1e-7 s."""
    volume = a_scan()
    options = Options(method="bicubic", roi="ijk,2,12,3,11,1,5")
    made = super_resolve_ct((volume,), options)
    said = ct_plan.foretold(volume, 1, options)
    megabytes = (made.volume[0].array.nbytes + made.fidelity[0].array.nbytes) / 2**20
    assert said.startswith(f"80 × 64 × 4 voxels, {megabytes:.0f} MB, about 1 s, ") and said.endswith("GB of memory")
    slow = [ct_plan.nominal_seconds(volume, 1, Options(self_ensemble=turns)) for turns in (False, True)]
    assert 7 < slow[1] / slow[0] < 8


# ------------------------------------------------------------------------------------------------------------ modality


def test_the_modality_is_what_dicom_or_the_units_or_the_source_say(scene):
    node = nodes.add_node(scene, a_scan(meta={"modality": ""}), "unknown")
    assert modality.modality_of(node) == ""
    units = slicer.vtkCodedEntry()
    units.SetValueSchemeMeaning("[hnsf'U]", "UCUM", "Hounsfield unit")
    node.SetVoxelValueUnits(units)
    assert modality.modality_of(node) == "CT"
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = tree.CreateItem(tree.GetSceneItemID(), node)
    tree.SetItemAttribute(item, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName(), "PT")
    assert modality.modality_of(node) == "PT"
    child = nodes.add_node(scene, a_scan(meta={"modality": ""}), "result")
    child.SetNodeReferenceID("MedSR.source", node.GetID())
    assert modality.modality_of(child) == "PT"


@pytest.mark.parametrize("stated", ["CT", "MR", ""])
def test_the_modality_travels_with_the_exported_volume(scene, stated, tmp_path):
    node = nodes.add_node(scene, a_scan(meta={"modality": stated}), "chest")
    path = exchange.Workspace(str(tmp_path)).export_volume(node)
    assert exchange.load(path)[0].meta["modality"] == stated
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))  # Slicer reads the file with that line in its header
    assert storage.ReadData(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "again"))


def test_a_modality_of_other_programs_is_not_taken_for_one(tmp_path):
    formats.write(tmp_path / "a.nrrd", (a_scan(),))
    text = (tmp_path / "a.nrrd").read_bytes()
    (tmp_path / "b.nrrd").write_bytes(text.replace(b"modality:=CT\n", b"modality:=DWMRI\n", 1))
    assert [formats.read(tmp_path / name)[0].meta["modality"] for name in ("a.nrrd", "b.nrrd")] == ["CT", ""]


# ------------------------------------------------------------------------------------------------------------- routing


def as_node(scene, volume):
    return nodes.add_node(scene, volume, "node")


@pytest.mark.parametrize(
    ("changes", "tasks", "told"),
    [
        ({"spacing_mm": (0.8, 0.8, 0.9)}, (routing.CT,), "CT in HU"),
        ({"spacing_mm": (0.8, 0.8, 5.0)}, (routing.CT, routing.SLICES), "5.00 mm apart"),
        ({"spacing_mm": (0.8, 0.8, 5.0), "meta": {"modality": "MR"}}, (routing.SLICES,), "is MR, not CT in HU"),
        ({"spacing_mm": (0.8, 0.8, 0.9), "meta": {"modality": "MR"}}, (), "hardly more than the pixels"),
        ({"spacing_mm": (0.8, 0.8, 0.9), "meta": {"modality": ""}}, (routing.CT,), "CT in HU"),
        ({"array": np.full((12, 24, 30), 40, np.uint8)}, (routing.SLICES,), "8-bit values are not HU"),
    ],
    ids=["thin CT", "thick CT", "thick MR", "thin MR", "HU of unknown modality", "8-bit"],
)
def test_a_volume_is_routed_by_what_it_is(scene, changes, tasks, told):
    found = routing.route(as_node(scene, a_scan(**changes)))
    assert found.tasks == tasks and told in found.why and found.task == (tasks[0] if tasks else "")
    assert set(found.refused) == {routing.CT, routing.SLICES} - set(tasks)


def test_only_models_whose_card_fits_are_offered_the_default_first(scene, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSR_MODELS", str(tmp_path))
    monkeypatch.setattr("MedSRLib.models.SHIPPED", tmp_path / "none")
    node = as_node(scene, a_scan())
    assert routing.offer(routing.CT, node) == routing.Offer((), "No model for this is installed: choose another method.")
    small = {"width": 8, "depth": 1, "tail": (8, 8, 8)}
    make_model(tmp_path, "bone", valid_range={"text": "bone", "modality": ["microCT"]}, **small)
    assert routing.offer(routing.CT, node).why.startswith("The model bone was not made for this: the modality is CT. Choose another")
    for name in ("after", "tiny"):  # "tiny" states that it is the default
        make_model(tmp_path, name, **small)
    assert [card.id for card in routing.offer(routing.CT, node).cards] == ["tiny", "after"]
    assert len(routing.offer(routing.CT, node, any_modality=True).cards) == 3
    coarse = as_node(scene, a_scan(spacing_mm=(1.6, 1.6, 2.0)))
    assert "the pixels are 1.6 mm (valid: 0.5 to 1 mm)" in routing.offer(routing.CT, coarse).why


# -------------------------------------------------------------------------------------------------------- a first region


def test_a_first_region_lies_in_the_lung_of_a_clinical_scan(scene, data_dir):
    """LIDC-IDRI-0314: the lungs of the whole scan at full resolution are the witness."""
    (scan,) = formats.read(data_dir / "ct" / "lidc0314_mid")
    box = region_default.default_box(nodes.add_node(scene, scan, "chest"))
    assert box.size_mm == pytest.approx((75, 75, 24))
    text = regions.text_of_roi(regions.add_roi(scene, box, "R"))
    part = cut(scan, text, (0, 0), in_hu=True)
    assert part.volume.shape == (24, 96, 96) and part.warnings == ()
    lung = lungs.mask(scan.array, scan.spacing_mm)
    assert lung[tuple(slice(*ends) for ends in part.ranges)].mean() > 0.85
    assert ct_plan.nominal_seconds(part.volume, 1, Options()) < 60


def test_a_first_region_is_in_the_middle_of_what_is_no_chest_and_within_what_is_small(scene):
    volume = a_scan(meta={"modality": "MR"})
    box = region_default.default_box(nodes.add_node(scene, volume, "small"))
    assert box.size_mm == pytest.approx((24, 19.2, 24)) and box.centre_mm == pytest.approx((volume.affine @ (14.5, 11.5, 5.5, 1))[:3])


# ------------------------------------------------------------------------------------------------------------------ jobs


def test_the_job_of_a_region_and_a_mask_says_what_is_to_be_done(scene):
    volume = a_scan()
    node = nodes.add_node(scene, volume, "chest")
    roi = regions.add_roi(scene, regions.box_of_voxels(((2, 5), (4, 12), (3, 9)), volume), "R")
    under(roi, np.eye(4))
    labels = nodes.add_node(scene, volume.with_(array=(volume.array > -800).astype(np.uint8)), "labels", labels=True)
    job = ct_jobs.SuperResolveJob(node, {"method": "bicubic"}, roi=roi, labels=labels, fidelity=False)
    wanted = job.specification()
    assert wanted.task == "super_resolve_ct" and set(wanted.inputs) == {"volume", "mask"} and set(wanted.outputs) == {"volume"}
    assert np.array_equal(exchange.load(wanted.inputs["mask"])[0].array, slicer.util.arrayFromVolume(labels))
    assert cut(volume, wanted.options["roi"], (0, 0), in_hu=True).ranges == ((2, 5), (4, 12), (3, 9))
    assert any("R lies under a transform" in warning for warning in job.warnings)
    job.close()
    assert not Path(wanted.inputs["volume"]).exists()
