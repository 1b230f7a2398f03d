"""Tiles: they cover the grid, blend to one, come out in order, and neither their size nor their borders show."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib import tiles
from MedSRLib.errors import OptionError
from MedSRLib.io import slabs

SHAPES = [(1, 1), (7, 64), (64, 65), (100, 37), (33, 200)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "context", "overlap"), [(32, 0, 0), (32, 4, 8), (24, 8, 7), (16, 0, 15)])
def test_the_tiles_cover_every_pixel_and_their_weights_sum_to_one(shape, size, context, overlap):
    plan = tiles.plan(shape, size=size, context=context, overlap=overlap)
    total = np.zeros(tuple(3 * n for n in shape))
    down, across = plan.rows.weights(3), plan.columns.weights(3)
    for row in range(len(plan.rows.starts)):
        for column, tile in enumerate(plan.row(row)):
            assert tile.height + 2 * context <= max(size, 0) and tile.y + tile.height <= shape[0] and tile.x + tile.width <= shape[1]
            weight = down[row][:, None] * across[column]
            assert weight.min() >= 0
            total[3 * tile.y : 3 * (tile.y + tile.height), 3 * tile.x : 3 * (tile.x + tile.width)] += weight
    assert np.abs(total - 1).max() < 1e-6


@pytest.mark.parametrize("starts", [plan.rows.starts for plan in (tiles.plan((n, 1), size=20, overlap=6) for n in range(21, 120))])
def test_neighbours_overlap_by_what_was_asked_at_least(starts):
    assert np.diff(starts).max() <= 14


def test_weights_change_smoothly():
    weights = tiles.plan((100, 1), size=40, overlap=10).rows.weights(8)
    assert np.abs(np.diff(weights)).max() < 2 / 80
    assert np.abs(np.diff(weights, 2)).max() < 6 / 80**2 * np.pi


def enlarging(image, context, scale=2):
    """A make function: blurred over ±context pixels and repeated `scale` times, as a network that looks so far would."""

    def make(group):
        found = []
        for tile in group:
            read = tile.read(image)
            blurred = sum(np.roll(read, (dy, dx), (-2, -1)) for dy in (-context, 0, context) for dx in (-context, 0, context))
            fine = blurred.repeat(scale, -1).repeat(scale, -2)
            found.append(tile.kept(np.stack([fine, -fine]), scale))
        return found

    return make


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_come_in_order_and_do_not_depend_on_the_tiles_where_the_context_is_wide_enough(shape):
    image = np.random.default_rng(0).normal(0, 300, shape).astype(np.float32)
    made = {}
    for size, overlap, batch in ((500, 0, 1), (17, 3, 1), (30, 10, 4)):
        plan = tiles.plan(shape, size=size, context=3, overlap=overlap)
        bands = list(tiles.blended(plan, enlarging(image, 3), scale=2, channels=2, batch=batch))
        assert [band.start for band, _ in bands] == [0, *(band.stop for band, _ in bands[:-1])]
        made[size] = np.concatenate([rows for _, rows in bands], axis=1)
        assert made[size].shape == (2, 2 * shape[0], 2 * shape[1])
    assert np.abs(made[17] - made[500]).max() < 2e-3 and np.abs(made[30] - made[500]).max() < 2e-3


def test_where_tiles_disagree_the_change_is_gradual():
    """A tile's result that is off by its own amount leaves no jump larger than that amount over the overlap."""

    def make(group):
        return [np.full((1, tile.height, tile.width), 100.0 * ((tile.y + tile.x) % 3), np.float32) for tile in group]

    def worst_jump(overlap):
        plan = tiles.plan((80, 120), size=40, overlap=overlap)
        whole = np.concatenate([rows for _, rows in tiles.blended(plan, make)], axis=1)[0]
        return max(np.abs(np.diff(whole, axis=axis)).max() for axis in (0, 1))

    assert worst_jump(0) >= 100
    assert worst_jump(16) < 200 * np.pi / 2 / 16 * 1.2


def test_a_tile_beyond_the_image_reads_the_edge_and_one_inside_a_larger_image_its_surroundings():
    image = np.arange(30.0).reshape(5, 6)
    tile = tiles.Tile(0, 4, 2, 2, 1)
    assert tile.read(image).tolist() == [[3, 4, 5, 5], [3, 4, 5, 5], [9, 10, 11, 11], [15, 16, 17, 17]]
    assert tiles.Tile(0, 0, 1, 1, 1).read(image, (2, 3)).tolist() == image[1:4, 2:5].tolist()


def test_tiles_that_would_keep_nothing_are_refused_with_the_least_size():
    with pytest.raises(OptionError, match="at least 41"):
        tiles.plan((100, 100), size=40, context=16, overlap=8)


def test_a_large_array_lies_in_a_file_without_a_name_and_gives_its_bytes_slab_by_slab(monkeypatch, tmp_path):
    monkeypatch.setattr(slabs, "LARGE_BYTES", 1000)
    monkeypatch.setattr(slabs, "SLAB_BYTES", 256)
    monkeypatch.setattr(slabs.tempfile, "tempdir", str(tmp_path))
    array = slabs.new_array((10, 8, 8), np.int16)
    assert isinstance(array, np.memmap) and list(tmp_path.iterdir()) == []
    array[:] = np.arange(640).reshape(10, 8, 8)
    slabs.release(array)
    pieces = [bytes(piece) for piece in slabs.slabs(array[:])]
    assert len(pieces) == 5 and b"".join(pieces) == np.arange(640, dtype="<i2").tobytes()
    assert not isinstance(slabs.new_array((2, 2), np.int16), np.memmap)
