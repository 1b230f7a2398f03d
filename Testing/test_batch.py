"""A table of cases: each row a registration, failures told and survived, a stopped batch taken up again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from MedSRLib import cli
from MedSRLib.io import formats, outline_geojson
from MedSRLib.io.outline_files import read_outlines
from MedSRLib.outlines import Outline, joined


@pytest.fixture(scope="module")
def glands(data_dir) -> list[Outline]:
    """Of two slides of aaa0060, out of a large label volume."""
    label = data_dir / "pairs/aaa0060/results/aaa0060_input_highres_region00_label.nii.gz"
    return [Outline("prostate", joined(read_outlines(label, slice_index=number).outlines)[0].polygons) for number in (0, 1)]


@pytest.fixture
def table(data_dir, glands, tmp_path) -> Path:
    """Two slides of aaa0060 and one that is not there; paths from the table's own folder."""
    folder = data_dir / "pairs/aaa0060"
    for number, gland in enumerate(glands):
        outline_geojson.write(tmp_path / f"slide{number}.geojson", [gland])
    mask = folder / "aaa0060_T2_prostate_label.nii.gz"
    rows = ["case,mri,slide,slice,mpp,reference", f"first,{mask},slide0.geojson,13,7.2,", f"gone,{mask},nowhere.svs,13,,truth.nii.gz"]
    path = tmp_path / "cases é.csv"
    path.write_text("\n".join([*rows, f"second,{mask},slide1.geojson,14,7.2,"]), encoding="utf-8")
    return path


def summary(out: Path) -> dict[str, dict[str, str]]:
    with (out / "summary.csv").open(newline="", encoding="utf-8") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_a_row_that_fails_is_told_and_the_rest_goes_on(table, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["register-slide", "--cases", str(table), str(out), "--orientation", "r0", "--quiet"]
    assert cli.main(words) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gone: ")]
    assert len(told) == 1 and "nowhere.svs: there is no such file or folder" in told[0], "without remarks, too"
    rows = summary(out)
    assert {case: row["status"] for case, row in rows.items()} == {"first": "done", "gone": "failed", "second": "done"}
    assert "nowhere.svs: there is no such file or folder" in rows["gone"]["error"] and not (out / "gone").exists()
    for case in ("first", "second"):
        facts = json.loads((out / case / "registration.json").read_text())
        assert float(rows[case]["dice"]) == pytest.approx(facts["dice"]) and rows[case]["grade"] == facts["grade"]
        assert facts["orientation"]["chosen"] == "r0" and facts["mpp"]["used_um"] == [7.2, 7.2], "flags hold for all, cells for one"
    assert {json.loads((out / c / "registration.json").read_text())["slice"] for c in ("first", "second")} == {13, 14}
    times = {case: (out / case / "registration.json").stat().st_mtime_ns for case in ("first", "second")}
    text = table.read_text(encoding="utf-8").replace("nowhere.svs,13,,", "slide0.geojson,13,7.2,")
    table.write_text(text, encoding="utf-8")
    assert cli.main(words) == 0
    assert {case: row["status"] for case, row in summary(out).items()} == {"first": "done before", "gone": "done", "second": "done before"}
    assert times == {case: (out / case / "registration.json").stat().st_mtime_ns for case in times}
    assert summary(out)["first"]["dice"] == rows["first"]["dice"], "figures of those done before are there too"
    table.write_text(text.replace("slide1.geojson,14", "slide1.geojson,13"), encoding="utf-8")
    capsys.readouterr()
    assert cli.main(words[:-1]) == 0
    assert "second: what is there was made from other inputs or options" in capsys.readouterr().err
    assert {case: row["status"] for case, row in summary(out).items()} == {"first": "done before", "gone": "done before", "second": "done"}
    assert json.loads((out / "second/registration.json").read_text())["slice"] == 13, "as the row says now"
    assert cli.main([*words, "--overwrite"]) == 0 and {row["status"] for row in summary(out).values()} == {"done"}
    assert times["first"] < (out / "first/registration.json").stat().st_mtime_ns


def test_the_batch_is_what_the_evaluation_takes(table, tmp_path, data_dir):
    out, gland = tmp_path / "out", data_dir / "pairs/aaa0060/aaa0060_T2_prostate_label.nii.gz"
    table.write_text(
        "\n".join(
            line.replace("nowhere.svs,13,,truth.nii.gz", f"slide0.geojson,13,7.2,{gland}")
            for line in table.read_text(encoding="utf-8").split("\n")
        ),
        encoding="utf-8",
    )
    assert cli.main(["register-slide", "--cases", str(table), str(out), "--orientation", "r0", "--quiet"]) == 0
    assert cli.main(["evaluate", "registration", str(out), "--cases", str(table), "--out", str(tmp_path / "e"), "--quiet"]) == 0
    with (tmp_path / "e/registration.csv").open() as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    ours, truth = formats.read(out / "gone/labels.seg.nrrd")[0].array[13] > 0, formats.read(gland)[0].array[13] > 0
    assert float(rows["gone"]["dice"]) == pytest.approx(2 * np.count_nonzero(ours & truth) / (ours.sum() + truth.sum()))


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (("mpp", "colour"), 2, "the column 'colour' is no input or option of register-slide"),
        (("13,7.2", "13,coarse"), 3, "--mpp: 'coarse' is no value for it in the case 'first'"),
        (("second", "first"), 2, "the case 'first' is there twice"),
        (("mpp", "colour"), 2, "transform-as, reference, reference_landmarks"),
    ],
)
def test_a_table_that_cannot_be_is_refused_before_anything_runs(change, code, sentence, table, tmp_path, capsys):
    table.write_text(table.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    assert cli.main(["register-slide", "--cases", str(table), str(tmp_path / "out"), "--quiet"]) == code
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_words_that_do_not_go_together_are_refused(tmp_path, capsys):
    for words, sentence in (
        (["a", "b"], "the following arguments are required: OUT_DIR"),
        (["--cases", "x.csv", "a", "b", "c"], "give OUT_DIR alone"),
        (["--cases", "x.csv"], "give OUT_DIR alone"),
        (["a", "b", "c", "--overwrite"], "there is no table of cases"),
    ):
        assert cli.main(["register-slide", *words]) == 3
        assert sentence in capsys.readouterr().err
    assert cli.main(["register-slide", "--cases", str(tmp_path / "none.csv"), str(tmp_path / "out")]) == 2
    assert "none.csv: there is no such file" in capsys.readouterr().err


def test_flags_may_stand_before_between_and_behind_the_words(data_dir, table, tmp_path, capsys):
    """Words may be left out for a table, and yet are found wherever they stand; a flag that there is not is told by the verb."""
    mask, slide, out = data_dir / "pairs/aaa0060/aaa0060_T2_prostate_label.nii.gz", tmp_path / "slide0.geojson", tmp_path / "out"
    words = ["--slice", "13", str(mask), "--mpp", "7.2", str(slide), "--orientation", "r0", str(out), "--quiet"]
    assert cli.main(["register-slide", *words]) == 0
    facts = json.loads((out / "registration.json").read_text())
    assert facts["slice"] == 13 and facts["mpp"]["used_um"] == [7.2, 7.2]
    capsys.readouterr()
    assert cli.main(["register-slide", *words, "--flip"]) == 3
    assert "unrecognized arguments: --flip; see medsr register-slide --help" in capsys.readouterr().err
    assert cli.main(["register-slide", *words[:-1]]) == 0
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"slice 13, orientation r0, Dice {facts['dice']:.3f}; grade: {facts['grade']}" in said


def test_a_batch_that_is_stopped_says_what_stays(table, tmp_path, capsys, monkeypatch):
    from MedSRLib import jobs_here

    run, begun = jobs_here.run_here, []

    def stop_at_the_second(*arguments, **keywords):
        begun.append(1)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return run(*arguments, **keywords)

    monkeypatch.setattr(jobs_here, "run_here", stop_at_the_second)
    out = tmp_path / "out"
    assert cli.main(["register-slide", "--cases", str(table), str(out), "--orientation", "r0", "--quiet"]) == 130
    assert f"cancelled after 1 of 3 cases, which stay in {out}" in capsys.readouterr().err
    assert (out / "first/registration.json").is_file() and set(summary(out)) == {"first"} and not (out / "gone").exists()
    begun[:] = [1]
    assert cli.main(["register-slide", "--cases", str(table), str(tmp_path / "other"), "--quiet"]) == 130
    assert "cancelled, nothing was written" in capsys.readouterr().err and not (tmp_path / "other").exists()


def test_a_table_gives_each_slide_its_description(table, tmp_path):
    """The column "case" names the folder; the input of that name has the column case_file."""
    described = {"filename": "slide0.geojson", "mri_slice": 13, "resolution_x_um": 7.2, "resolution_y_um": 7.2}
    lies = {"transform": {"flip": 0, "rotation_angle": 0}}
    (tmp_path / "d.json").write_text(json.dumps({"one": described | lies}))
    mri = table.read_text(encoding="utf-8").splitlines()[1].split(",")[1]
    table.write_text(f"case,mri,slide,case_file\nfirst,{mri},slide0.geojson,d.json", encoding="utf-8")
    assert cli.main(["register-slide", "--cases", str(table), str(tmp_path / "out"), "--quiet"]) == 0
    facts = json.loads((tmp_path / "out/first/registration.json").read_text())
    words = ["register-slide", "--cases", str(table), str(tmp_path / "out"), "--quiet"]
    assert cli.main(words) == 0 and summary(tmp_path / "out")["first"]["status"] == "done before"
    (tmp_path / "d.json").write_text(json.dumps({"one": described | lies | {"mri_slice": 14}}))
    assert cli.main(words) == 0 and summary(tmp_path / "out")["first"]["status"] == "done", "the description was edited in place"
    assert json.loads((tmp_path / "out/first/registration.json").read_text())["slice"] == 14
    assert facts["slice"] == 13 and facts["mpp"]["source"] == "case" and facts["orientation"]["determined"]
