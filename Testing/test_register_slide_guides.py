"""What guides a registration beside pictures and masks: the case's description, an earlier transform; and what they leave in doubt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dented_gland import make_pair
from MedSRLib import cli
from MedSRLib.errors import InputError, OptionError
from MedSRLib.io import formats
from MedSRLib.tasks.register_slide import Options, register_slide
from MedSRLib.tasks.slide_place import KEPT
from MedSRLib.tasks.slide_search import UNDETERMINED
from MedSRLib.volume import Volume

sitk = pytest.importorskip("SimpleITK")


@pytest.fixture
def pair(tmp_path) -> tuple[Volume, Path, np.ndarray]:
    return make_pair(tmp_path)


def test_the_cases_description_says_which_way_round(data_dir, tmp_path):
    """The two published descriptions, and SimpleITK's own rotation for the sense of the angle."""
    from MedSRLib.io.slide_case import CaseEntry, read_case
    from MedSRLib.tasks.slide_fit import turn

    folder = data_dir / "pairs"
    assert read_case(folder / "aaa0043/histology_aaa0043.json", folder / "aaa0043/aaa0043_B.tiff") == CaseEntry(
        False, 0, None, (7.205737084076597,) * 2
    )
    described = read_case(folder / "aaa0060/aaa0060_histology.json", "aaa0060 E1E2E3E4.svs")
    assert (described.mirrored, described.degrees, described.slice) == (True, -17, None)
    with pytest.raises(InputError, match="does not describe the slide other.tiff; it has aaa0060_c1c2c3c4"):
        read_case(folder / "aaa0060/aaa0060_histology.json", "other.tiff")
    fixed_to_moving = sitk.AffineTransform(2)
    fixed_to_moving.Rotate(0, 1, np.radians(-17))
    assert np.linalg.inv(np.reshape(fixed_to_moving.GetMatrix(), (2, 2))) == pytest.approx(turn(-17))
    entry = {"filename": "s", "transform": {"flip": 0, "rotation_angle": 0}}
    for more, says in (({"mri_slice": -3}, "mri_slice -3"), ({"resolution_x_um": 7, "resolution_y_um": 0}, "a resolution of")):
        (tmp_path / "case.json").write_text(json.dumps({"a": entry | more}))
        with pytest.raises(InputError, match=says):
            read_case(tmp_path / "case.json", "s.svs")
    for text in ("[]", '{"a": {"filename": "s.svs"}}', '{"a": {"filename": "s.svs", "transform": {"flip": 2, "rotation_angle": 0}}}'):
        (tmp_path / "case.json").write_text(text)
        with pytest.raises(InputError, match=r"no description|does not say how|no orientation"):
            read_case(tmp_path / "case.json", "s.svs")


def test_a_described_slide_is_no_longer_undetermined(pair, tmp_path):
    volume, path, true = pair
    case = tmp_path / "case.json"
    case.write_text(json.dumps({"slice1": {"filename": "x\\slide.svs", "transform": {"flip": 0, "rotation_angle": 5}}}))
    facts = register_slide(volume, Options(mpp_um=8.0), slide=path, case=case).registration
    assert facts["orientation"]["determined"] and facts["orientation"]["chosen"] == "r0" and facts["grade"] == "good"
    untold = register_slide(volume, Options(mpp_um=8.0), slide=path).registration
    assert not untold["orientation"]["determined"] and untold["grade"] == "doubtful"
    assert untold["warnings"] == untold["reasons"] == [UNDETERMINED], "as near as it fits, it may lie mirrored"


def test_a_case_says_slice_and_pixel_size_and_what_is_given_goes_before(pair, tmp_path):
    """Two slices that fit alike: without a word the first is taken, and that is said."""
    volume, path, true = pair
    array = volume.array.copy()
    array[3] = array[2]
    volume, case = volume.with_(array=array), tmp_path / "case.json"
    said = {"filename": "slide.svs", "mri_slice": 3, "resolution_x_um": 8.0, "resolution_y_um": 8.0, "transform": {"flip": 0, "rotate": 5}}
    case.write_text(json.dumps({"slice1": said}))
    facts = register_slide(volume, slide=path, case=case).registration
    assert (facts["slice"], facts["mpp"]["used_um"], facts["mpp"]["source"], facts["grade"]) == (3, [8.0, 8.0], "case", "good")
    given = register_slide(volume, Options(slice=2, mpp_um=8.2), slide=path, case=case).registration
    assert (given["slice"], given["mpp"]["used_um"], given["mpp"]["source"]) == (2, [8.2, 8.2], "given")
    searched = register_slide(volume, Options(orientation="r0", mpp_um=8.0), slide=path).registration
    assert searched["grade"] == "doubtful" and "which slice the slide lies on cannot be told" in searched["warnings"][0]
    said["resolution_x_um"] = said["resolution_y_um"] = 80.0
    case.write_text(json.dumps({"slice1": said}))
    unlikely = register_slide(volume, slide=path, case=case).registration
    assert unlikely["mpp"]["source"] == "gland" and "at the stated 80 µm per pixel" in unlikely["warnings"][0]


def test_a_transform_of_an_earlier_run_is_read_with_its_pixel_size_and_kept_is_doubtful(pair, tmp_path):
    volume, path, _ = pair
    formats.write(tmp_path / "mask.nrrd", volume)
    words = ["register-slide", str(tmp_path / "mask.nrrd"), str(path), str(tmp_path / "out"), "--quiet"]
    assert cli.main([*words, "--mpp", "8.5", "--orientation", "r0"]) == 0
    again = register_slide(volume, Options(transform_as="result"), slide=path, transform=tmp_path / "out" / "transform.h5")
    first = json.loads((tmp_path / "out" / "registration.json").read_text())
    assert again.registration["mpp"]["used_um"] == [8.5, 8.5] and again.registration["mpp"]["source"] == "registration.json"
    assert again.registration["dice"] == pytest.approx(first["dice"], abs=1e-9) and first["grade"] == "good"
    assert again.registration["grade"] == "doubtful" and again.registration["reasons"] == [KEPT]
    other = path.rename(tmp_path / "another.geojson")
    options = Options(transform_as="result", accept_any=True)
    unknown = register_slide(volume, options, slide=other, transform=tmp_path / "out" / "transform.h5").registration
    assert unknown["mpp"]["source"] == "gland", "what was noted of one slide is not taken for another's"


def test_a_mask_as_its_own_slide_is_not_called_good(pair, tmp_path):
    volume, _, _ = pair
    upright = volume.with_(direction=np.eye(3))
    formats.write(tmp_path / "mask.nrrd", upright)
    facts = register_slide(upright, Options(orientation="r0"), slide=tmp_path / "mask.nrrd").registration
    assert facts["dice"] > 0.9995 and facts["grade"] == "doubtful" and "the same to the last pixel" in facts["reasons"][0]


def test_where_options_and_description_differ_it_is_said_and_the_options_hold(pair, tmp_path):
    volume, path, _ = pair
    case = tmp_path / "case.json"
    said = {"filename": "slide.svs", "mri_slice": 3, "resolution_x_um": 9.0, "resolution_y_um": 9.0, "transform": {"flip": 1, "rotate": 0}}
    case.write_text(json.dumps({"slice1": said}))
    facts = register_slide(volume, Options(slice=2, mpp_um=8.0, orientation="r0"), slide=path, case=case).registration
    assert (facts["slice"], facts["mpp"]["used_um"], facts["orientation"]["chosen"]) == (2, [8.0, 8.0], "r0")
    assert [text.partition(";")[0] for text in facts["warnings"]] == [
        "the case's description says slice 3",
        "the case's description says that the slide lies f0",
        "the case's description says 9 µm a pixel",
    ]


def test_what_a_run_left_open_stays_open_for_its_transform_until_it_is_said(pair, tmp_path):
    """Outlines alone told neither flip nor slice, and the scale came from the gland: keeping the place does not tell them either."""
    volume, path, _ = pair
    array = volume.array.copy()
    array[3] = array[2]
    volume, out = volume.with_(array=array), tmp_path / "out"
    formats.write(tmp_path / "mask.nrrd", volume)
    assert cli.main(["register-slide", str(tmp_path / "mask.nrrd"), str(path), str(out), "--quiet"]) == 0
    first = json.loads((out / "registration.json").read_text())
    assert set(first["untold"]) == {"orientation", "slice", "scale"} and set(first["untold"].values()) <= set(first["reasons"])
    assert first["untold"]["orientation"] == UNDETERMINED and not first["orientation"]["determined"]

    def again(**given):
        return register_slide(volume, Options(**given), slide=path, transform=out / "transform.h5").registration

    for use in ("start", "result"):
        kept = again(transform_as=use)
        assert not kept["orientation"]["determined"] and set(kept["untold"]) == {"orientation", "slice", "scale"}
        assert set(kept["untold"].values()) <= set(kept["reasons"]) and (KEPT in kept["reasons"]) == (use == "result")
    lies, size = first["orientation"]["chosen"], first["mpp"]["used_um"][0]
    turned = again(orientation=lies, transform_as="result")
    assert turned["orientation"]["determined"] and set(turned["untold"]) == {"slice", "scale"}, "that alone is told now"
    assert set(again(slice=first["slice"], transform_as="result")["untold"]) == {"orientation", "scale"}
    assert set(again(mpp_um=size, transform_as="result")["untold"]) == {"orientation", "slice"}
    told = again(orientation=lies, slice=first["slice"], mpp_um=size)
    assert told["grade"] == "good" and told["untold"] == {}


def test_to_keep_a_transform_there_must_be_one(pair):
    volume, path, _ = pair
    with pytest.raises(OptionError, match="there is no transform to keep"):
        register_slide(volume, Options(transform_as="result"), slide=path)
