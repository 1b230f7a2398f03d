"""Scans made by formula, models of the user's own with seeded weights, and the task on them."""

from __future__ import annotations

import numpy as np
import pytest
from ct_models import make_model
from MedSRLib import models
from MedSRLib.tasks.super_resolve_ct import Options, super_resolve_ct
from MedSRLib.volume import Volume

torch = pytest.importorskip("torch")

BICUBIC = Options(method="bicubic")
FACTOR = 8


@pytest.fixture(scope="module", autouse=True)
def own_models(tmp_path_factory):
    """Models of the user's own: `tiny`, the default, and others by name."""
    root = tmp_path_factory.mktemp("models")
    make_model(root, "tiny", width=8, depth=1, tail=[8, 8, 8], slices=3)
    make_model(root, "attentive", width=8, depth=1, tail=[8, 8, 8], attention=True)
    make_model(root, "gan", "sr_cyclegan", width=8, depth=1)
    make_model(
        root, "bone", width=8, depth=1, tail=[8, 8, 8], valid_range={"text": "x", "intensity": {"offset": 0, "scale": 255, "unit": "grey"}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(models.OWN_FOLDER, str(root))
        yield root


def a_chest(shape=(3, 40, 36), dtype=np.int16, **geometry) -> Volume:
    """Smooth structures between −1000 and some 200 HU, and noise of 10 HU; seeded."""
    random = np.random.default_rng(3)
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    image = -600 + 400 * np.sin(x / 3.1 + z / 2) * np.cos(y / 4.3) + random.normal(0, 10, shape)
    image[:, :4] = -1000
    geometry = {"spacing_mm": (0.7, 0.7, 1.5), "origin_mm": (-30.0, 12.0, 40.0), "meta": {"modality": "CT", "name": "chest"}} | geometry
    return Volume(image.round().astype(dtype), **geometry)


def averaged(volume: Volume) -> np.ndarray:
    z, y, x = volume.array.shape
    return volume.array.reshape(z, y // FACTOR, FACTOR, x // FACTOR, FACTOR).mean(axis=(2, 4), dtype=np.float64)


def made_of(volume: Volume, options=Options(device="cpu"), **how) -> Volume:
    return super_resolve_ct((volume,), options, **how).volume[0]


def ramps(direction: np.ndarray, size=(12, 10, 2), spacing=(0.8, 0.7, 2.5)) -> list[Volume]:
    """Three volumes: the value of each voxel is its own x, y or z coordinate in mm."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in size), indexing="ij"), -1)
    world = (index * spacing) @ direction.T + [-30.0, 12.0, 40.0]
    grid = (spacing, (-30.0, 12.0, 40.0), direction)
    return [Volume(world[..., component].transpose(2, 1, 0).astype(np.float32), *grid) for component in range(3)]
