"""The frozen test sets of slide registration, and how methods are scored on them."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from MedSRLib import registration_features

from training import affine_warps, evaluate_matching, matching_methods, slide_sources
from training import registration_test_set as frozen

IDENTITY = affine_warps.IDENTITY


@pytest.fixture(scope="module")
def slides(data_dir):
    """The test needs a reader of whole slides."""
    pytest.importorskip("openslide")
    return data_dir


def entries(*places: int) -> list[dict]:
    return [frozen.split()["cases"][k] for k in places]


def test_200_right_and_100_wrong_pairs_each_once_from_slides_that_test():
    cases = frozen.split()["cases"]
    kinds = [c["kind"] for c in cases]
    assert [kinds.count(k) for k in ("right", "other", "apart", "half")] == [200, 34, 33, 33]
    assert len({c["seed"] for c in cases}) == len({c["sha256"] for c in cases}) == 300
    assert {c["source"] for c in cases} == {s.name for s in slide_sources.sources("test")}
    assert all(c["shown"] != c["source"] for c in cases if c["kind"] == "other")


def test_mutual_information_fails_on_at_least_half():
    measured = frozen.split()["mutual_information"]
    assert measured["failures"] >= 0.5 and measured["counts"] is True


def test_cases_of_each_kind_and_slide_are_what_was_frozen(slides):
    """The whole set: python -m training.registration_test_set --verify."""
    for entry in entries(0, 1, 2, 200, 201, 234, 267, 268):
        assert frozen.differences(frozen.made(entry, slides), entry) == ""


def test_a_changed_case_is_noticed(slides):
    (entry,) = entries(0)
    case = frozen.made(entry, slides)
    other = frozen.Case(case.seed, "right", case.fixed + np.uint16(9), 0.4, case.slide, case.tissue, case.affine)
    assert "block means differ by up to 9.0" in frozen.differences(other, entry)


def test_errors_are_distances_over_the_tissues_width(slides):
    """The prostate is 40 mm wide: 1 mm beside the truth is 2.5 %, a turn by 180° about its middle is of its own size."""
    case = frozen.made(entries(0)[0], slides)
    beside = case.affine + [[0, 0, 0.6], [0, 0, 0.8]]
    assert matching_methods.error(case.affine, case) == 0
    assert matching_methods.error(beside, case) == pytest.approx(1 / case.slide.width_mm, rel=1e-9)
    assert case.slide.width_mm == pytest.approx(40, abs=0.3)
    assert matching_methods.error(affine_warps.composed(np.array([[-1.0, 0, 0], [0, -1, 0]]), case.affine), case) > 0.3


def test_a_blank_half_is_blank_and_parts_do_not_overlap(slides):
    in_slide, in_mri = (frozen.made(entry, slides) for entry in entries(267, 268))
    whole = frozen.pictures(slides)[entries(267)[0]["source"]]
    assert 0.3 < in_slide.slide.tissue.sum() / whole.tissue.sum() < 0.7
    assert (in_slide.slide.rgb[whole.tissue & ~in_slide.slide.tissue] == slide_sources.GLASS).all()
    assert 0.3 < (in_mri.fixed == 0).mean() < 0.7
    side = frozen.beyond(whole.tissue, 0.0)
    assert not side[:, 0].any() and side[:, -1].all()


def test_the_real_mri_shows_its_gland_near_the_middle_at_its_own_pixels(slides):
    case = frozen.made(entries(201)[0], slides)
    assert case.fixed_mm == pytest.approx(0.40625) and case.fixed.shape == (188, 188)  # 76.8 mm: 189 pixels, even is 188
    assert np.allclose(np.argwhere(case.tissue).mean(0), 94, atol=16) and case.tissue.sum() in (5406, 5820, 6165)  # slices 13 to 15


def truth(case):
    return matching_methods.Found(IDENTITY if case.affine is None else case.affine, flagged=case.affine is None)


def turned_over(case):
    mirrored = affine_warps.composed(np.array([[-1.0, 0, 0], [0, 1, 0]]), truth(case).affine)
    return matching_methods.Found(mirrored, flagged=True)


def test_the_truth_scores_full_and_its_mirror_nothing(slides, tmp_path):
    methods = {"truth": (truth, "1"), "mirror": (turned_over, "1")}
    evaluate_matching.evaluate(methods, entries(0, 1, 2, 201), slides, tmp_path)
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["truth"]["success_percent"] == figures["truth"]["wrong_flagged_percent"] == figures["truth"]["flip_percent"] == 100
    assert figures["truth"]["median_error_percent"] == figures["truth"]["correct_flagged_percent"] == 0
    assert figures["mirror"]["success_percent"] == figures["mirror"]["flip_percent"] == 0
    assert "correct_flagged_percent" not in figures["mirror"] and figures["mirror"]["median_error_percent"] > 10
    rows = list(csv.DictReader((tmp_path / "cases.csv").open(encoding="utf-8")))
    assert len(rows) == 8 and {row["kind"] for row in rows} == {"right", "other"}
    assert (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()[2].startswith("| truth | 100.0 | 100.0 | 0.00 | 100.0 | 0.0 |")


def test_what_was_scored_is_not_scored_again_unless_it_changed_or_was_cut_off(slides, tmp_path):
    asked = []

    def watched(case):
        asked.append(case.seed)
        return truth(case)

    for identity, expected in (("a", [1000, 1001]), ("a", []), ("b", [1000, 1001])):
        asked.clear()
        evaluate_matching.evaluate({"x": (watched, identity)}, entries(0, 1), slides, tmp_path)
        assert asked == expected
    scores = tmp_path / "scores" / "x.jsonl"
    text = scores.read_text(encoding="utf-8")
    scores.write_text(text[:-20], encoding="utf-8")  # killed while writing the last line
    asked.clear()
    evaluate_matching.evaluate({"x": (watched, "b")}, entries(0, 1), slides, tmp_path)
    assert asked == [1001]


def test_mutual_information_finds_a_small_shift_of_a_picture_against_itself(slides):
    """As a control: the same tissue, brightness turned over, 1.5 mm aside."""
    case = frozen.made(entries(0)[0], slides)
    grey = case.slide.rgb.mean(-1)
    negative = ((255 - grey[::4, ::4]) * 3).astype(np.uint16)
    true = np.array([[1.0, 0, -0.15], [0, 1, -0.15]])  # every fourth pixel from the first: their middle lies 1.5 pixels before
    tissue = case.slide.tissue[::4, ::4]
    same = frozen.Case(0, "right", negative, 0.4, case.slide, tissue, true)
    start = true + [[0, 0, 1.2], [0, 0, 0.9]]
    assert matching_methods.error(start, same) == pytest.approx(1.5 / 40, rel=0.02)
    assert matching_methods.error(matching_methods.mutual_information(same, start).affine, same) < 0.005


def test_a_network_is_scored_through_its_checkpoint(slides, tmp_path):
    """At the start its θ is the identity: what it finds is one of the 24 views, in mm; this MRI is smaller than the field."""
    import torch

    from training.slide_matching import SlideMatching

    model = SlideMatching(arguments={"size": "compact", "side": 64, "grid": 12})
    state = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams), "datamodule_hyper_parameters": {"side": 192}}
    torch.save(state, tmp_path / "scratch.ckpt")
    method, identity = matching_methods.networks([f"scratch={tmp_path / 'scratch.ckpt'}"])["scratch"]
    case = frozen.made(entries(201)[0], slides)
    views, found = registration_features.views(np.zeros(2)), method(case).affine
    assert len(views) == 24 and len(identity) == 64
    assert sum(np.allclose(found, view, atol=1e-5) for view in views) == 1


def test_functions_are_taken_by_name():
    method, identity = matching_methods.named(["mine=training.matching_methods:identity"])["mine"]
    assert method is matching_methods.identity and identity == "training.matching_methods:identity"
