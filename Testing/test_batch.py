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


@pytest.fixture
def table(data_dir, tmp_path) -> Path:
    """Two slides of aaa0060 and one that is not there; paths from the table's own folder."""
    folder = data_dir / "pairs/aaa0060"
    for number in (0, 1):
        label = folder / "results/aaa0060_input_highres_region00_label.nii.gz"
        outline_geojson.write(
            tmp_path / f"slide{number}.geojson",
            [Outline("prostate", joined(read_outlines(label, slice_index=number).outlines)[0].polygons)],
        )
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
