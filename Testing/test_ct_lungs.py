"""Where a model's detail goes: the lungs of a chest CT, a mask that is given, or everything; and how it is said."""

from __future__ import annotations

import numpy as np
import pytest
from ct_models import make_model
from MedSRLib import cli, lungs, models, run
from MedSRLib.errors import InputError, ResourceError
from MedSRLib.io import formats
from MedSRLib.tasks import ct_region
from MedSRLib.tasks.super_resolve_ct import Options, Result, super_resolve_ct
from MedSRLib.volume import Volume

pytest.importorskip("torch")

LEFT, RIGHT = (22, 18), (22, 46)
"""Middles of both lungs (y, x)."""
AXES = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])


@pytest.fixture(scope="module", autouse=True)
def a_model(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    make_model(root, "tiny", width=8, depth=1, tail=[8, 8, 8])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(models.OWN_FOLDER, str(root))
        yield


def ellipse(centre, radii) -> np.ndarray:
    y, x = np.mgrid[:48, :64]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def a_body(air_hu: float = -850.0, places=(LEFT, RIGHT), radii=(12, 8), **meta) -> Volume:
    """Four slices of a body in air, pixels of 5 mm, with air of a level at some places; noise of 10 HU, seeded."""
    plane = np.where(ellipse((22, 32), (20, 29)), 40.0, -1000.0)
    for place in places:
        plane[ellipse(place, radii)] = air_hu
    array = plane + np.random.default_rng(0).normal(0, 10, (4, 48, 64))
    return Volume(array.round().astype(np.int16), (5.0, 5.0, 8.0), meta={"modality": "CT", "name": "body"} | meta)


def made(scan: Volume, region: str = "auto", **how) -> Result:
    mask = how.pop("mask", None)
    return super_resolve_ct((scan,), Options(region=region, device="cpu", **how), mask=mask)


def added(result: Result, scan: Volume, roi: str = "") -> np.ndarray:
    """(z, y, x) bool in pixels of the scan: where the result is not bicubic."""
    plain = super_resolve_ct((scan,), Options(method="bicubic", roi=roi)).volume[0].array
    differs = result.volume[0].array != plain
    z, y, x = differs.shape
    return differs.reshape(z, y // 8, 8, x // 8, 8).any(axis=(2, 4))


def lung_of(scan: Volume) -> np.ndarray:
    return lungs.mask(scan.array, scan.spacing_mm)


def test_in_a_chest_detail_is_added_to_the_lungs_alone():
    scan = a_body()
    result, found = made(scan), lung_of(scan)
    where = added(result, scan)
    assert not where[~found].any() and where[found].mean() > 0.9
    assert result.report["detail"] == {"part": "lungs", "share": pytest.approx(found.mean(), abs=1e-4), "why": "the volume is a chest CT"}
    assert result.report["why"].endswith(", in the lungs") and result.report["scan"]["pixels"] == int(found.sum())


@pytest.mark.parametrize(
    ("scan", "why"),
    [
        (a_body(places=()), "no lung was found: no large region of air"),
        (a_body(-995.0), "gas alone"),
        (a_body(radii=(4, 4)), "too little lung"),
        (a_body(modality="MR"), "not HU"),
    ],
    ids=["no air", "bowel gas", "little air", "no HU"],
)
def test_without_a_chest_detail_is_added_everywhere_and_the_report_says_why(scan, why):
    result = made(scan, any_modality=True)
    assert np.array_equal(result.volume[0].array, made(scan, "all", any_modality=True).volume[0].array)
    assert result.report["detail"]["part"] == "all" and result.report["detail"]["share"] == 1 and why in result.report["detail"]["why"]


@pytest.mark.parametrize(
    ("scan", "roi", "why"),
    [
        (a_body(places=()), "", "no lung was found"),
        (a_body(-995.0), "", "gas alone"),
        (a_body(modality="MR"), "", "the values are not HU"),
        (a_body(), "ijk 28 36 30 40 0 4", "no lung within the region"),
    ],
    ids=["no air", "bowel gas", "no HU", "elsewhere"],
)
def test_lungs_that_are_asked_for_and_not_there_are_refused_in_one_sentence(scan, roi, why):
    with pytest.raises(InputError, match=why) as found:
        made(scan, "lungs", roi=roi, any_modality=True)
    sentence = found.value.sentence()
    assert sentence.startswith("body: ") and "Region all" in sentence and "\n" not in sentence and len(sentence) < 200


def test_little_lung_is_taken_where_it_is_asked_for():
    scan = a_body(radii=(4, 4))
    assert made(scan, "lungs").report["detail"]["part"] == "lungs"


def test_a_region_beside_the_lungs_gets_detail_everywhere():
    scan, roi = a_body(), "ijk 28 36 30 40 0 4"
    result = made(scan, roi=roi)
    assert result.report["detail"]["why"] == "there is no lung within the region" and added(result, scan, roi).mean() > 0.9


def test_a_given_mask_comes_first():
    scan = a_body()
    labels = np.zeros(scan.shape, np.uint8)
    labels[:, 30:40, 25:40] = 1
    result = made(scan, "lungs", mask=scan.with_(array=labels))
    where = added(result, scan)
    assert not where[labels == 0].any() and where[labels > 0].mean() > 0.9
    assert result.report["detail"]["part"] == "mask" and result.report["why"].endswith(", in the mask")


def test_lungs_follow_a_rotated_region():
    scan = a_body()
    centre = (scan.affine @ [LEFT[1], LEFT[0], 1.5, 1])[:3]
    report = made(scan, roi=ct_region.roi_text(centre, (120.0, 150.0, 32.0), AXES)).report
    assert report["grid"]["rotated"] and report["detail"]["part"] == "lungs" and 0.2 < report["detail"]["share"] < 0.9


def test_lungs_that_move_are_those_of_any_frame():
    frames = (a_body(), a_body(places=((24, 18), (24, 46))))
    result = super_resolve_ct(frames, Options(device="cpu"))
    assert result.report["detail"]["share"] == pytest.approx((lung_of(frames[0]) | lung_of(frames[1])).mean(), abs=1e-4)


def test_bicubic_does_not_look_for_lungs_unless_they_are_asked_for(monkeypatch):
    monkeypatch.setattr(lungs, "mask", lambda *given: pytest.fail("looked"))
    report = super_resolve_ct((a_body(),), Options(method="bicubic")).report
    assert report["detail"] == {"part": "all", "share": 1.0, "why": "bicubic is the same everywhere"}


def test_memory_for_finding_lungs_is_known_before(monkeypatch):
    from MedSRLib.tasks import ct_lungs

    monkeypatch.setattr(ct_lungs, "BYTES_A_VOXEL", 2**40)
    monkeypatch.setattr(run, "available_memory_bytes", lambda: 2**36)
    with pytest.raises(ResourceError, match="finding the lungs"):
        made(a_body())


def test_the_command_adds_detail_to_the_lungs_of_a_real_chest(data_dir, tmp_path, capsys):
    words = ["--roi", "-95,165,-545,40,30,4", "--model", "tiny", "--device", "cpu", "--region", "lungs"]
    assert cli.main(["super-resolve-ct", str(data_dir / "ct/lidc0314_mid"), str(tmp_path / "fine.nrrd"), *words]) == 0
    assert "in the lungs" in capsys.readouterr().err
    (fine,) = formats.read(tmp_path / "fine.nrrd")
    assert fine.array.dtype == np.int16 and fine.array.min() < -900


def test_the_command_names_the_flag_where_there_is_no_lung(tmp_path, capsys):
    formats.write(tmp_path / "in.nrrd", a_body(places=()))
    words = [str(tmp_path / "in.nrrd"), str(tmp_path / "o.nrrd"), "--region", "lungs", "--device", "cpu", "--any-modality", "--quiet"]
    assert cli.main(["super-resolve-ct", *words]) == InputError.exit_code
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and "--region all" in said
