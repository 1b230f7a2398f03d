"""MRML against real slicer-core: geometry both ways, segmentations, sequences, after-care, tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed")
vtk = pytest.importorskip("vtk")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "MedSR")]

from MedSRLib.errors import InputError  # noqa: E402
from MedSRLib.scene import (  # noqa: E402
    aftercare,
    attributes,
    exchange,
    fidelity,
    nodes,
    segmentations,
    sequences,
    slice_jobs,
    tables,
    thick,
)
from MedSRLib.volume import Volume  # noqa: E402
from slicer_host import application  # noqa: E402


def rotation(axis: int, degrees: float) -> np.ndarray:
    """Right-handed rotation about axis 0, 1 or 2."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[[a, a, b, b], [a, b, a, b]] = (c, -s, s, c)
    return matrix


ORIENTATIONS = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "oblique": rotation(0, 33) @ rotation(1, -20) @ rotation(2, 71),
    "left-handed": np.diag([1.0, 1.0, -1.0]) @ rotation(2, 15),
}


@pytest.fixture(params=ORIENTATIONS)
def a_volume(request) -> Volume:
    """5 slices of 7x6 whose first voxel is none of the corners' mirror images; anisotropic, off the origin."""
    array = np.random.default_rng(3).integers(-900, 900, (5, 6, 7)).astype(np.int16)
    return Volume(array, (0.8, 1.1, 5.0), (-41.5, 17.25, 203.0), ORIENTATIONS[request.param], meta={"name": "cine"})


def ras_of_voxel(node, ijk) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array(matrix.MultiplyPoint((*ijk, 1.0))[:3])


def test_a_node_lies_where_its_volume_says_with_x_and_y_negated(scene, a_volume):
    node = nodes.add_node(scene, a_volume, "cine")
    for ijk in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (2, 3, 4)):
        lps = np.array(a_volume.origin_mm) + a_volume.direction @ (np.array(a_volume.spacing_mm) * ijk)
        assert ras_of_voxel(node, ijk) == pytest.approx([-lps[0], -lps[1], lps[2]], abs=1e-9)
        assert node.GetImageData().GetScalarComponentAsDouble(*ijk, 0) == a_volume.array[ijk[::-1]]


def test_volume_to_node_to_volume_is_the_same_volume(scene, a_volume):
    again = nodes.volume_from_node(nodes.add_node(scene, a_volume, "cine"))
    assert np.array_equal(again.array, a_volume.array) and again.array.dtype == a_volume.array.dtype
    assert again.affine == pytest.approx(a_volume.affine, abs=1e-9)
    assert np.sign(np.linalg.det(again.direction)) == np.sign(np.linalg.det(a_volume.direction))


def test_slicer_reads_the_exported_file_where_the_node_lies(scene, a_volume, tmp_path):
    """Slicer's own reader is the independent witness for the file that a job gets."""
    node = nodes.add_node(scene, a_volume, "cine")
    path = exchange.Workspace(str(tmp_path)).export_volume(node)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    again = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "again")
    assert storage.ReadData(again)
    voxel = slicer.util.arrayFromVolume(again)
    # A reader may keep a left-handed grid or turn an axis round: what must hold is the value at each place.
    matrix = vtk.vtkMatrix4x4()
    again.GetRASToIJKMatrix(matrix)
    for ijk in ((0, 0, 0), (6, 5, 4), (1, 4, 2)):
        there = np.rint(matrix.MultiplyPoint((*ras_of_voxel(node, ijk), 1.0))[:3]).astype(int)
        assert voxel[tuple(there[::-1])] == a_volume.array[ijk[::-1]]


def test_a_linear_parent_transform_is_hardened_into_the_geometry(scene, a_volume):
    node = nodes.add_node(scene, a_volume, "cine")
    ras_map = np.eye(4)
    ras_map[:3, :3], ras_map[:3, 3] = rotation(2, 30), (10, -20, 5)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(ras_map))
    node.SetAndObserveTransformNodeID(transform.GetID())
    world = nodes.volume_from_node(node)
    expected = ras_map @ np.append(ras_of_voxel(node, (2, 3, 4)), 1.0)
    lps = world.affine @ (2, 3, 4, 1)
    assert lps[:3] == pytest.approx(expected[:3] * (-1, -1, 1), abs=1e-9)
    back = nodes.add_node(scene, world, "result")
    assert back.GetParentTransformNode() is None and ras_of_voxel(back, (2, 3, 4)) == pytest.approx(expected[:3], abs=1e-9)


def test_a_warping_parent_transform_is_refused_in_one_sentence(scene, a_volume):
    node = nodes.add_node(scene, a_volume, "cine")
    warp = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(InputError, match="cine: the volume is under a warping transform; harden"):
        nodes.volume_from_node(node)


def test_a_node_without_an_image_is_refused(scene):
    with pytest.raises(InputError, match="no image data"):
        nodes.volume_from_node(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_scalar_types_survive_the_round_trip(scene, dtype):
    volume = Volume(np.arange(24, dtype=dtype).reshape(2, 3, 4))
    again = nodes.volume_from_node(nodes.add_node(scene, volume, "typed"))
    assert again.array.dtype == np.dtype(dtype) and np.array_equal(again.array, volume.array)


def test_64_bit_labels_become_a_type_that_slicer_can_draw(scene):
    small, large = np.arange(8).reshape(2, 2, 2), np.full((2, 2, 2), 2**40)
    assert nodes.volume_from_node(nodes.add_node(scene, Volume(small), "small")).array.dtype == np.int32
    assert np.array_equal(nodes.volume_from_node(nodes.add_node(scene, Volume(large), "large")).array, large)


def test_a_colour_image_becomes_a_vector_volume(scene):
    rgb = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 3)).astype(np.uint8)
    node = nodes.add_node(scene, Volume(rgb), "rgb")
    assert node.GetClassName() == "vtkMRMLVectorVolumeNode"
    assert np.array_equal(nodes.volume_from_node(node).array, rgb)


# ---------------------------------------------------------------------------------------------------- thick slices


def add(scene, name, spacing, shape=(5, 6, 7)):
    return nodes.add_node(scene, Volume(np.zeros(shape, np.int16), spacing), name)


def test_the_thickest_sliced_volume_is_preselected(scene):
    add(scene, "isotropic", (1, 1, 1))
    add(scene, "sagittal stack", (4.0, 1.0, 1.0))
    thick_one = add(scene, "cine", (0.8, 0.8, 5))
    add(scene, "one slice", (0.5, 0.5, 10), (1, 6, 7))
    result = add(scene, "a result", (0.1, 0.1, 8))
    attributes.write(result, {"task": "interpolate_slices"})
    nodes.add_node(scene, Volume(np.zeros((5, 6, 7), np.int16), (0.1, 0.1, 9)), "labels", labels=True)
    assert thick.thickest(scene) is thick_one
    found = thick.slicing(thick_one)
    assert (found.axis, found.count, found.step_mm, found.in_plane_mm) == (2, 5, pytest.approx(5.0), pytest.approx(0.8))
    assert thick.slicing(scene.GetFirstNodeByName("sagittal stack")).axis == 0


def test_nothing_is_preselected_where_no_volume_is_thick(scene):
    add(scene, "isotropic", (1, 1, 1.1))
    assert thick.thickest(scene) is None


# -------------------------------------------------------------------------------------------------- segmentations


def segmentation_on(scene, volume_node, arrays):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "outline")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    for name, (array, color) in arrays.items():
        segment = node.GetSegmentation().AddEmptySegment(name, name, color)
        slicer.util.updateSegmentBinaryLabelmapFromArray(array.astype(np.uint8), node, segment, volume_node)
    return node


def test_a_segmentation_becomes_labels_on_the_grid_and_comes_back(scene, a_volume):
    volume_node = nodes.add_node(scene, a_volume, "cine")
    gland, lesion = a_volume.array > 400, a_volume.array < -700
    node = segmentation_on(scene, volume_node, {"gland": (gland, (0.2, 0.4, 0.6)), "lesion": (lesion, (0.9, 0.1, 0.1))})
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)  # made at the first use, and kept
    count = scene.GetNumberOfNodes()
    labels, segments = segmentations.labels_from_segmentation(node, volume_node)
    assert scene.GetNumberOfNodes() == count, "nodes that the export made stay behind"
    assert np.array_equal(labels.array, gland + 2 * lesion.astype(int)) and labels.affine == pytest.approx(a_volume.affine, abs=1e-6)
    assert [(s.label, s.name) for s in segments] == [(1, "gland"), (2, "lesion")]
    again = segmentations.add_segmentation(scene, labels, "outline interpolated", segments)
    assert again.GetSegmentation().GetSegment("lesion").GetColor() == pytest.approx((0.9, 0.1, 0.1))
    for name, mask in (("gland", gland), ("lesion", lesion)):
        assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(again, name, volume_node), mask)
    assert scene.GetFirstNodeByName("MedSR scratch") is None


def test_an_empty_or_distant_segmentation_is_refused(scene, a_volume):
    volume_node = nodes.add_node(scene, a_volume, "cine")
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    with pytest.raises(InputError, match="no segments"):
        segmentations.labels_from_segmentation(empty, volume_node)
    far = nodes.add_node(scene, a_volume.with_(origin_mm=(5000, 0, 0)), "far")
    node = segmentation_on(scene, far, {"gland": (a_volume.array > 0, (1, 0, 0))})
    with pytest.raises(InputError, match="outside the volume"):
        segmentations.labels_from_segmentation(node, volume_node)


# ------------------------------------------------------------------------------------------------------ sequences


def a_cine(scene, volume, count=3):
    frames = [volume.with_(array=(volume.array // (i + 1)).astype(np.int16)) for i in range(count)]
    sequence, proxy = sequences.add_sequence(scene, frames, "cine")
    return frames, sequence, proxy


def test_a_sequence_becomes_frames_and_a_result_plays_in_step(scene, a_volume):
    frames, sequence, proxy = a_cine(scene, a_volume)
    browser, found = sequences.sequence_of(proxy)
    assert found is sequence and sequences.sequence_of(nodes.add_node(scene, a_volume, "still")) is None
    read = sequences.frames_from_sequence(sequence, proxy)
    assert [np.array_equal(r.array, f.array) for r, f in zip(read, frames, strict=True)] == [True] * 3
    assert read[2].affine == pytest.approx(a_volume.affine, abs=1e-9)
    doubled = [f.with_(array=np.repeat(f.array, 2, 0), spacing_mm=(0.8, 1.1, 2.5)) for f in read]
    result, shown = sequences.add_sequence(scene, doubled, "cine interpolated", index=sequences.index_of(sequence), browser=browser)
    browser.SetSelectedItemNumber(2)
    application.install().modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    assert np.array_equal(slicer.util.arrayFromVolume(proxy), frames[2].array)
    assert np.array_equal(slicer.util.arrayFromVolume(shown), doubled[2].array)
    assert [result.GetNthIndexValue(i) for i in range(3)] == [sequence.GetNthIndexValue(i) for i in range(3)]


def test_frames_lie_under_the_transform_of_the_shown_node(scene, a_volume):
    _, sequence, proxy = a_cine(scene, a_volume)
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    shift = np.eye(4)
    shift[:3, 3] = (1, 2, 3)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    proxy.SetAndObserveTransformNodeID(transform.GetID())
    frame = sequences.frames_from_sequence(sequence, proxy)[1]
    assert np.array(frame.origin_mm) - a_volume.origin_mm == pytest.approx((-1, -2, 3), abs=1e-6)


# ------------------------------------------------------------------------------------------------------ after-care


def test_a_result_looks_sorts_and_tells_like_its_source(scene, a_volume):
    source = nodes.add_node(scene, a_volume, "cine")
    display = source.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(321.0, 123.0)
    warm = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "warm")
    display.SetAndObserveColorNodeID(warm.GetID())
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "patient"), "study")
    tree.CreateItem(study, source)
    result = nodes.add_node(scene, a_volume, "cine interpolated")
    report = {"method": "model", "model": {"id": "refine", "sha256": "ab12"}, "why": "best of four", "warnings": ["uneven steps"]}
    aftercare.dress(result, source, task="interpolate_slices", report=report, provenance='{"medsr": "0.1"}')
    shown = result.GetDisplayNode()
    assert (shown.GetWindow(), shown.GetLevel(), shown.GetAutoWindowLevel()) == (321.0, 123.0, 0)
    assert shown.GetColorNode() is warm
    assert tree.GetItemParent(tree.GetItemByDataNode(result)) == study
    facts = attributes.read(result)
    assert (facts["method"], facts["model"], facts["sha256"]) == ("model", "refine", "ab12")
    assert json.loads(facts["warnings"]) == ["uneven steps"] and attributes.is_result(result)
    text = result.GetNodeReference(aftercare.PROVENANCE_ROLE)
    assert text.GetText() == '{"medsr": "0.1"}' and tree.GetItemParent(tree.GetItemByDataNode(text)) == study
    assert result.GetNodeReference(attributes.SOURCE_ROLE) is source


def test_the_fidelity_map_is_clear_where_slices_were_acquired(scene, a_volume):
    source = nodes.add_node(scene, a_volume, "cine")
    error = np.zeros((5, 6, 7), np.float32)
    error[1::2] = np.linspace(1, 50, error[1::2].size, dtype=np.float32).reshape(error[1::2].shape)
    node = fidelity.add_fidelity(scene, a_volume.with_(array=error), "cine expected error", source)
    display = node.GetDisplayNode()
    table = display.GetColorNode().GetLookupTable()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    assert low == 0 and 45 < high <= 50
    assert table.GetTableValue(0)[3] == 0 and table.GetTableValue(255)[3] == 1
    brightness = [sum(table.GetTableValue(i)[:3]) for i in range(0, 256, 51)]
    assert brightness == sorted(brightness)
    fidelity.add_fidelity(scene, a_volume.with_(array=error), "again", source)
    assert scene.GetNodesByName(fidelity.COLORS_NAME).GetNumberOfItems() == 1


def test_a_perfect_result_still_has_a_scale():
    assert fidelity.full_scale(np.zeros((2, 2, 2))) == 1.0


# ---------------------------------------------------------------------------------------------------------- tables


def test_a_csv_becomes_a_table_node(scene, tmp_path):
    (tmp_path / "t.csv").write_text("slice,method,ssim\n1,linear,0.5\n1,flow,0.75\n3,linear,\n3,flow,inf\n", encoding="utf-8")
    columns, rows = tables.read_csv(tmp_path / "t.csv")
    table = tables.add_table(scene, columns, rows, "evaluation").GetTable()
    assert [table.GetColumnName(i) for i in range(3)] == ["slice", "method", "ssim"]
    assert table.GetValueByName(1, "ssim").ToDouble() == 0.75 and table.GetValueByName(3, "method").ToString() == "flow"
    assert {k: list(v) for k, v in tables.groups(columns, rows, "method", "ssim").items()} == {"linear": [0.5], "flow": [0.75]}
    (tmp_path / "empty.csv").write_text("slice,method\n", encoding="utf-8")
    with pytest.raises(InputError, match="empty"):
        tables.read_csv(tmp_path / "empty.csv")


def test_a_box_shows_quartiles_median_and_whiskers():
    values = np.array([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 100])
    x, y = tables.box_outline(2.0, values)
    low, middle, high = np.percentile(values, (25, 50, 75))
    assert {low, middle, high} <= set(y.tolist()) and (y.min(), y.max()) == (0.0, 8.0)  # 100 lies beyond the whisker
    assert (x.min(), x.max()) == (pytest.approx(1.7), pytest.approx(2.3))


def test_the_plot_has_a_box_for_each_method(scene):
    chart = tables.add_box_plot(scene, {"linear": np.array([0.5, 0.6, 0.7]), "flow": np.array([0.6, 0.7, 0.9])}, "SSIM", "SSIM")
    series = [chart.GetNthPlotSeriesNode(i) for i in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [s.GetName() for s in series] == ["linear", "flow"]
    table = series[1].GetTableNode().GetTable()
    assert table.GetColumnByName(series[1].GetYColumnName()).GetRange() == (0.6, 0.9)
    assert table.GetColumnByName(series[1].GetXColumnName()).GetRange() == (pytest.approx(1.7), pytest.approx(2.3))


# ------------------------------------------------------------------------------------------------ between nodes and files


def test_a_job_tells_what_was_hardened_and_refuses_to_overwrite_its_input(scene, a_volume):
    node = nodes.add_node(scene, a_volume, "cine")
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(InputError, match="the input itself"):
        slice_jobs.InterpolateJob(node, {}, output=node)
    job = slice_jobs.InterpolateJob(node, {"factor": 2.0})
    wanted = job.specification()
    assert job.warnings == ("cine lies under the transform moved, which was hardened into the result.",)
    assert wanted.task == "interpolate_slices" and wanted.options == {"factor": 2.0} and set(wanted.outputs) == {"volume", "fidelity"}
    assert exchange.load(wanted.inputs["volume"])[0].affine == pytest.approx(a_volume.affine, abs=1e-4)
    job.close()
    assert not Path(wanted.inputs["volume"]).parent.exists()
