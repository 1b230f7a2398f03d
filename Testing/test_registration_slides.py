"""One stain laid on another, measured at people's landmarks, and a known turn."""

from __future__ import annotations

import numpy as np
import pytest
from MedSRLib.errors import InputError
from MedSRLib.registration_slides import between

pytest.importorskip("cv2")


def test_he_on_prospc_is_as_good_as_the_best_affine_through_the_landmarks(data_dir, tmp_path):
    """78 landmarks, 5.7 % of the diagonal apart before; the best affine through them leaves 0.51 %."""
    from training import evaluate_stains

    (row,) = evaluate_stains.main(["--data", str(data_dir), "--out", str(tmp_path), "--tissues", "lesions"])
    assert row.count == 78 and row.before > 5
    assert row.best == pytest.approx(0.51, abs=0.02) and row.above < evaluate_stains.WITHIN
    assert "1 of 1 lie within" in (tmp_path / "stains.md").read_text()


def test_a_mirrored_and_turned_section_is_found(data_dir):
    """The other stain mirrored left to right, then turned counter-clockwise: that swaps x and y."""
    from training.slide_sources import read_rgb

    folder = data_dir / "pairs/histo_landmarks/lung-lesion_3"
    fixed, moving = (read_rgb(folder / f"29-041-Izd2-w35-{name}-les3.jpg") for name in ("Cc10-5", "proSPC-4"))
    plain, turned = between(fixed, moving), between(fixed, np.ascontiguousarray(np.rot90(moving[:, ::-1])))
    assert np.linalg.det(plain.affine[:, :2]) > 0 > np.linalg.det(turned.affine[:, :2])
    height, width = moving.shape[:2]
    points = np.array([[200.0, 200.0], [600.0, 250.0], [400.0, 500.0]])
    x, y = (points @ plain.affine[:, :2].T + plain.affine[:, 2]).T
    found = points @ turned.affine[:, :2].T + turned.affine[:, 2]
    # rot90 of the mirrored: mirrored x' = w - x; counter-clockwise: (x', y) goes to (y, w - x') = (y, x).
    assert np.abs(found - np.column_stack([y, x])).max() < 0.01 * np.hypot(height, width)


def test_a_blank_section_is_refused():
    with pytest.raises(InputError, match="moving: the picture is blank"):
        between(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), np.full((64, 64, 3), 240, np.uint8))
