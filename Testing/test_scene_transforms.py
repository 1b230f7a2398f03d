"""The transform files of a slide, as Slicer itself loads them."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib.geometry_slice import slice_plane
from MedSRLib.io import transforms
from MedSRLib.volume import Volume

TO_RAS = np.diag([-1.0, -1, 1, 1])


@pytest.mark.parametrize("ending", transforms.ENDINGS)
def test_a_slides_transform_file_moves_the_same_points_in_slicer_and_back(scene, ending, tmp_path):
    import slicer
    import vtk
    from scipy.spatial.transform import Rotation

    direction = Rotation.from_euler("xyz", (20, -15, 7), degrees=True).as_matrix()
    volume = Volume(np.zeros((5, 9, 9), np.float32), (0.4, 0.5, 3.6), (-12.0, 31.0, 7.0), direction)
    matrix = slice_plane(volume, 2).place(np.array([[0.9, -0.3, 4.0], [0.2, 1.1, 3.0], [0, 0, 1.0]]))
    path = tmp_path / f"slide{ending}"
    transforms.write_linear(path, matrix)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node) and node.IsLinear()
    found = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToParent(found)
    assert slicer.util.arrayFromVTKMatrix(found) == pytest.approx(TO_RAS @ matrix @ TO_RAS, abs=1e-6)
    storage.SetFileName(str(tmp_path / f"saved{ending}"))
    assert storage.WriteData(node)
    assert transforms.read_linear(tmp_path / f"saved{ending}") == pytest.approx(matrix, abs=1e-6)


def test_a_warp_file_moves_the_same_points_in_slicer(scene, tmp_path):
    from MedSRLib.geometry_warp import Placement, Warp

    volume = Volume(np.zeros((5, 50, 60), np.float32), (0.4, 0.5, 3.6), (-12.0, 31.0, 7.0))
    y, x = np.indices((50, 60))
    field = np.stack([1.2 * np.sin(x / 9), 0.8 * np.cos(y / 13)], -1) * (np.hanning(50)[:, None] * np.hanning(60))[..., None]
    plane = slice_plane(volume, 2)
    placement = Placement(plane, np.array([[0.9, -0.3, 4.0], [0.2, 1.1, 3.0], [0, 0, 1.0]]), Warp(field, plane.spacing_mm))
    transforms.write_warp(tmp_path / "warp.h5", Warp(field, plane.spacing_mm).volume(plane), placement.matrix)
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(tmp_path / "warp.h5"))
    assert storage.ReadData(node) and not node.IsLinear()
    for slide in ((3.0, 4.0), (6.0, 5.5)):
        patient = placement.to_patient(np.array([slide]))[0]
        moved = [0.0, 0.0, 0.0]
        node.GetTransformToParent().TransformPoint((-slide[0], -slide[1], 0.0), moved)
        assert moved == pytest.approx((-patient[0], -patient[1], patient[2]), abs=0.02)
