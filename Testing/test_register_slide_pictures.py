"""A slide laid on an MRI by what both show: a pseudo-MRI of a real H&E slide at a known place, mirrored, on an oblique volume."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from MedSRLib import cli, jobs, tissue
from MedSRLib.errors import Cancelled, DependencyError, InputError, OptionError
from MedSRLib.geometry_slice import slice_plane
from MedSRLib.io import formats, outline_geojson, transforms
from MedSRLib.io.outline_trace import polygons_of
from MedSRLib.outlines import Outline
from MedSRLib.run import Progress
from MedSRLib.tasks.register_slide import ORIENTATIONS, Options, Result, register_slide
from MedSRLib.volume import Volume

pytest.importorskip("cv2")
sitk = pytest.importorskip("SimpleITK")
Image = pytest.importorskip("PIL.Image")
MPP, MRI_MM, SLICE = 100.0, 0.4, 1
TURN, SCALE, SHIFT_MM = 75.0, 0.93, (2.5, -3.0)
"""The slide mirrored left to right, turned clockwise by 75°, is as the MRI shows it: nearest f90."""


@dataclass(frozen=True)
class Known:
    """mri: oblique, the tissue on slice SLICE. tissue: its mask. slide: a PNG at MPP. affine: (2, 3), from the MRI's picture to the
    slide's, mm from their middles. points: (n, 2) mm, the tissue's pixels on the MRI's picture. width_mm: of the tissue."""

    mri: Volume
    tissue: Volume
    slide: Path
    affine: np.ndarray
    points: np.ndarray
    width_mm: float

    def error(self, made: Result) -> float:
        """Mean distance over the tissue between where a place on the MRI is found and where it lies, over the tissue's width."""
        plane = slice_plane(self.mri, SLICE)
        found = made.placement.to_slide(self.points + (np.array(plane.shape[::-1]) - 1) / 2 * MRI_MM)
        middle = np.array(Image.open(self.slide).size) * MPP / 2000
        true = self.points @ self.affine[:, :2].T + self.affine[:, 2] + middle
        return float(np.linalg.norm(found - true, axis=1).mean() / self.width_mm)


@pytest.fixture(scope="module")
def known(data_dir, tmp_path_factory) -> Known:
    from scipy.spatial.transform import Rotation

    from training import affine_warps, pseudo_mri, slide_sources

    source = next(s for s in slide_sources.sources("test") if "aaa0043" in s.path)
    picture = slide_sources.picture(source, data_dir, MPP / 1000)
    rng = np.random.default_rng(5)
    angle = np.radians(TURN)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    onto = turn @ np.diag([-1.0, 1.0]) / SCALE
    made = pseudo_mri.pseudo_mri(picture, np.column_stack([np.linalg.inv(onto), SHIFT_MM]), rng)
    other = [pseudo_mri.surroundings(made.image.shape, pseudo_mri.Recipe(), rng) for _ in range(2)]
    array = np.stack([other[0], made.image, other[1]]).astype(np.float32) * 700
    mask = np.zeros(array.shape, np.uint8)
    mask[SLICE] = made.tissue
    direction = Rotation.from_euler("xyz", (18, -9, 5), degrees=True).as_matrix()
    mri = Volume(array, (MRI_MM, MRI_MM, 3.0), (-40.0, -30.0, 12.0), direction, None, {"name": "T2"})
    slide = tmp_path_factory.mktemp("known") / "slide.png"
    Image.fromarray(picture.rgb).save(slide)
    points = affine_warps.positions_mm(made.image.shape, MRI_MM)[made.tissue]
    return Known(mri, mri.with_(array=mask), slide, made.affine, points, picture.width_mm)


@pytest.fixture(scope="module")
def by_pictures(known) -> Result:
    return register_slide(known.mri, Options(mpp_um=MPP), slide=known.slide)


def test_without_a_mask_the_pictures_find_slice_flip_and_place(known, by_pictures):
    facts = by_pictures.registration
    assert facts["slice"] == SLICE and set(facts["slices"]) == {"0", "1", "2"}
    assert known.error(by_pictures) < 0.02
    assert facts["method"] == facts["placed_by"] == facts["orientation"]["decided_by"] == "pictures"
    assert facts["orientation"]["chosen"] == "f90" and facts["orientation"]["determined"]
    scores = facts["orientation"]["scores"]
    assert set(scores) <= set(ORIENTATIONS) and len(scores) > 6 and max(scores, key=scores.__getitem__) == "f90"
    assert facts["grade"] == "good" and facts["dice"] is None and facts["pictures"]["grade"] == "sure"
    json.dumps(facts, allow_nan=False)


def test_the_tissue_is_carried_to_where_the_mri_shows_it(known, by_pictures):
    """Labels against the pseudo-MRI's own mask, which the run did not see."""
    found, true = by_pictures.labels.array[SLICE] > 0, known.tissue.array[SLICE] > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.95
    assert np.array_equal(by_pictures.labels.affine, known.mri.affine)


def test_with_a_mask_the_pictures_say_which_way_round_and_the_masks_place_it(known):
    made = register_slide(known.mri, Options(mpp_um=MPP), slide=known.slide, mri_mask=known.tissue)
    facts = made.registration
    assert facts["method"] == "both" and facts["placed_by"] == "masks"
    assert facts["orientation"]["chosen"] == "f90" and facts["orientation"]["decided_by"] == "pictures"
    assert facts["dice"] > 0.95 and known.error(made) < 0.02 and facts["grade"] == "good"


def test_rows_that_run_the_other_way_change_nothing(known, by_pictures):
    """The same voxels stored from the last row to the first: the volume's y axis points the other way, the patient is the same."""
    direction = known.mri.direction * [1, -1, -1]
    last = known.mri.affine @ [0, known.mri.shape[1] - 1, known.mri.shape[0] - 1, 1]
    turned = Volume(known.mri.array[::-1, ::-1], known.mri.spacing_mm, tuple(last[:3]), direction)
    made = register_slide(turned, Options(mpp_um=MPP, slice=SLICE), slide=known.slide)
    assert made.registration["orientation"]["chosen"] == "f90" and made.registration["grade"] == "good"
    corners = np.array([[20.0, 20.0], [55.0, 25.0], [40.0, 60.0]])
    apart = np.linalg.norm(made.placement.to_patient(corners) - by_pictures.placement.to_patient(corners), axis=1)
    assert apart.max() < 0.5


def test_a_given_transform_is_kept_to_the_last_digit(known, by_pictures, tmp_path):
    """As .tfm and .h5; the given one lies 0.7 mm behind the slice's middle, and is mirrored."""
    given = by_pictures.placement.matrix.copy()
    given[:3, 3] += 0.7 * known.mri.direction[:, 2]
    for ending in (".tfm", ".h5"):
        transforms.write_linear(tmp_path / f"t{ending}", given)
        options = Options(mpp_um=MPP, transform_as="result")
        made = register_slide(known.mri, options, slide=known.slide, mri_mask=known.tissue, transform=tmp_path / f"t{ending}")
        assert made.transform[0] == pytest.approx(given, abs=1e-9)
        facts = made.registration
        assert facts["method"] == "given" and facts["placed_by"] == "transform" and facts["slice"] == SLICE
        assert facts["orientation"]["chosen"] == "f90" and facts["orientation"]["decided_by"] == "transform"
        found, true = made.labels.array[SLICE] > 0, known.tissue.array[SLICE] > 0
        assert facts["dice"] == pytest.approx(2 * (found & true).sum() / (found.sum() + true.sum()), abs=1e-6)


def test_a_given_transform_is_where_the_search_begins(known, by_pictures, tmp_path):
    """Moved off by 1.5 mm and turned by 4°, it is brought back by the pictures; slice and flip are its own."""
    angle = np.radians(4)
    off = np.array([[np.cos(angle), -np.sin(angle), 1.5], [np.sin(angle), np.cos(angle), -1.0], [0, 0, 1]])
    plane = slice_plane(known.mri, SLICE)
    transforms.write_linear(tmp_path / "t.h5", plane.place(by_pictures.placement.in_plane @ off))
    made = register_slide(known.mri, Options(mpp_um=MPP), slide=known.slide, transform=tmp_path / "t.h5")
    facts = made.registration
    assert known.error(made) < 0.02 and facts["orientation"]["decided_by"] == "transform"
    assert facts["slice"] == SLICE and facts["orientation"]["chosen"] == "f90"


def test_a_transform_that_cannot_be_is_refused(known, tmp_path):
    plane, middle = slice_plane(known.mri, SLICE), np.array([[1, 0, 0.0], [0, 1, 0.0], [0, 0, 1]])
    kept = Options(mpp_um=MPP, transform_as="result")
    placed = plane.place(middle)
    tilt = np.eye(4)
    tilt[2, 0], tilt[2, 3] = 0.2, -0.2 * 38.4  # about the middle of the slide, which is 76.8 mm wide
    for matrix, said in (
        (placed @ tilt, "across the slices"),
        (placed + np.array([[0, 0, 0, 500.0]] * 3 + [[0, 0, 0, 0]]), "outside of the MRI"),
        (placed @ np.diag([1, 1e-9, 1, 1]), "flattens"),
    ):
        transforms.write_linear(tmp_path / "t.h5", matrix)
        with pytest.raises(InputError, match=said):
            register_slide(known.mri, kept, slide=known.slide, transform=tmp_path / "t.h5")
    transforms.write_linear(tmp_path / "t.h5", placed)
    with pytest.raises(OptionError, match="lays the slide r0, not f0"):
        register_slide(known.mri, Options(mpp_um=MPP, orientation="f0"), slide=known.slide, transform=tmp_path / "t.h5")
    with pytest.raises(InputError, match="on slice 1, not 2"):
        register_slide(known.mri, Options(mpp_um=MPP, slice=2), slide=known.slide, transform=tmp_path / "t.h5")
    (tmp_path / "bad.h5").write_text("no transform")
    with pytest.raises(InputError, match="not a file of one linear transform"):
        register_slide(known.mri, Options(mpp_um=MPP), slide=known.slide, transform=tmp_path / "bad.h5")


def test_another_gland_is_doubted(known, data_dir, tmp_path):
    """The slide of another organ: refused, or given as doubtful with its reasons; never as good."""
    from training import slide_sources

    source = next(s for s in slide_sources.sources("test") if "TCGA-CR" in s.path)
    Image.fromarray(slide_sources.picture(source, data_dir, MPP / 1000).rgb).save(tmp_path / "other.png")
    made = register_slide(known.mri, Options(mpp_um=MPP, slice=SLICE, accept_any=True), slide=tmp_path / "other.png")
    facts = made.registration
    assert facts["grade"] != "good" and facts["pictures"]["doubts"] and not facts["orientation"]["determined"]
    assert set(facts["pictures"]["doubts"]) <= set(facts["warnings"])


def test_several_pieces_are_said_and_an_outline_chooses_one(known, tmp_path):
    """A second piece of tissue, as large as a fifth of the first, in a corner of the glass."""
    rgb = np.asarray(Image.open(known.slide)).copy()
    rgb[20:150, 20:150] = rgb[320:450, 320:450]
    Image.fromarray(rgb).save(tmp_path / "two.png")
    gland = polygons_of(tissue.find(np.asarray(Image.open(known.slide)), MPP).mask)
    outline_geojson.write(tmp_path / "gland.geojson", [Outline("prostate", gland)])
    options = Options(mpp_um=MPP, slice=SLICE, accept_any=True)
    loose = register_slide(known.mri, options, slide=tmp_path / "two.png")
    assert any("pieces" in warning for warning in loose.registration["warnings"])
    chosen = register_slide(known.mri, options, slide=tmp_path / "two.png", outlines=tmp_path / "gland.geojson")
    assert known.error(chosen) < 0.02 and chosen.registration["gland"] == {"name": "prostate", "source": "outline"}


def test_what_is_missing_is_asked_for(known, tmp_path):
    """No size, no picture, a blank slide."""
    with pytest.raises(InputError, match="how large the slide's pixels are is not known") as error:
        register_slide(known.mri, Options(), slide=known.slide)
    assert "{mpp}" in error.value.fix and "{mri_mask}" in error.value.fix
    with pytest.raises(InputError, match="the MRI is a mask alone"):
        register_slide(known.tissue, Options(mpp_um=MPP, method="pictures"), slide=known.slide)
    with pytest.raises(InputError, match="bending needs the gland's mask"):
        register_slide(known.mri, Options(mpp_um=MPP, deformable=True), slide=known.slide)
    with pytest.raises(InputError, match="mask on the MRI is missing"):
        register_slide(known.mri, Options(mpp_um=MPP, method="mask"), slide=known.slide)
    Image.fromarray(np.full((300, 400, 3), 244, np.uint8)).save(tmp_path / "blank.png")
    with pytest.raises(InputError, match="blank"):
        register_slide(known.mri, Options(mpp_um=MPP), slide=tmp_path / "blank.png")


def test_cancelling_between_slices_leaves_nothing(known, tmp_path):
    formats.write(tmp_path / "mri.nrrd", [known.mri])
    spec = jobs.Specification(
        "register_slide",
        {"mri": str(tmp_path / "mri.nrrd"), "slide": str(known.slide)},
        {name: str(tmp_path / "out" / f"{name}{end}") for name, end in (("transform", ".h5"), ("registration", ".json"), ("dice", ".csv"))},
        {"mpp_um": MPP},
    )
    (tmp_path / "out").mkdir()
    said: list[str] = []
    with pytest.raises(Cancelled):
        jobs.run_here(spec, Progress(lambda _, text: said.append(text), lambda: any("by the pictures" in text for text in said)))
    assert any("Slice 0 by the pictures" in text for text in said)
    assert not list((tmp_path / "out").iterdir())


def test_a_full_disk_is_one_sentence_and_leaves_nothing(known, by_pictures, tmp_path, capsys):
    """A limit on file size is what a full disk looks like to a program. The transform is kept, so that no search is waited for."""
    import signal

    resource = pytest.importorskip("resource")
    formats.write(tmp_path / "mri.nrrd", [known.mri])
    transforms.write_linear(tmp_path / "t.h5", by_pictures.placement.matrix)
    words = ["register-slide", tmp_path / "mri.nrrd", known.slide, tmp_path / "out", "--mpp", MPP, "--transform", tmp_path / "t.h5"]
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        assert cli.main([*map(str, words), "--transform-as", "result", "--quiet"]) != 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "disk is full" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_learned_features_find_the_place_too_and_say_how_many_places_agree(known):
    pytest.importorskip("torch")
    made = register_slide(known.mri, Options(mpp_um=MPP, method="features", slice=SLICE), slide=known.slide)
    facts = made.registration
    assert known.error(made) < 0.02 and facts["grade"] == "good" and facts["method"] == "features"
    assert facts["orientation"]["chosen"] == "f90" and facts["orientation"]["decided_by"] == "features"
    scores = facts["orientation"]["scores"]
    guided = register_slide(known.mri, Options(mpp_um=MPP, method="features", slice=SLICE), slide=known.slide, mri_mask=known.tissue)
    assert known.error(guided) < 0.02 and guided.registration["dice"] > 0.9, "searched around the gland alone"
    assert scores["f90"] >= 12 and scores["f90"] > 1.3 * max(scores[name] for name in ORIENTATIONS if name[0] == "r")


def test_without_pytorch_the_features_say_what_else_to_take(known, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DependencyError, match="needs PyTorch.*use a Method that needs no model"):
        register_slide(known.mri, Options(mpp_um=MPP, method="features", slice=SLICE), slide=known.slide)
