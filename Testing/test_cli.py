"""The command: verbs and flags made from the tasks, what it prints, what it returns, what it leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from pathlib import Path

import command_parts
import numpy as np
import pytest
import SimpleITK as sitk
from MedSRLib import cli, errors, tasks
from MedSRLib.cli_tasks import flag_of, specification

heart, out = command_parts.heart, command_parts.out


def parsed(*words: str):
    return cli.build_parser().parse_args(list(words))


def spec_of(*words: str):
    name = "interpolate_slices" if words[0] == "interpolate-slices" else "evaluate_slices"
    return specification(name, tasks.load(name), parsed(*words))


@pytest.mark.parametrize("name", tasks.NAMES)
def test_every_option_of_a_task_is_a_flag_with_its_help(name, capsys):
    task = tasks.load(name)
    assert cli.main([*task.VERB.split(), "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(task.Options):
        assert flag_of(field.name) + " " in shown
        assert " ".join(field.metadata["help"].split("; ")[0].split())[:30] in shown
        assert not field.metadata["choices"] or "{" + ",".join(field.metadata["choices"]) + "}" in shown


def test_flags_become_the_options_that_were_given_and_no_others():
    spec = spec_of("interpolate-slices", "a.nrrd", "b.nrrd", "--spacing", "1.5", "--axis", "k", "--self-ensemble", "--series", "1.2")
    assert spec.options == {"spacing_mm": 1.5, "axis": "k", "self_ensemble": True}
    assert (spec.inputs, spec.outputs, spec.series) == ({"volume": "a.nrrd"}, {"volume": "b.nrrd"}, "1.2")


def test_naming_a_model_means_using_it():
    assert spec_of("interpolate-slices", "a", "b", "--model", "x").options == {"model": "x", "method": "model"}
    assert spec_of("interpolate-slices", "a", "b", "--model", "x", "--method", "auto").options == {"model": "x", "method": "auto"}


def test_ports_become_flags():
    words = ("--segmentation", "s.nrrd", "--segmentation-out", "t.nrrd", "--fidelity", "f.nrrd", "--picture", "p.png")
    spec = spec_of("interpolate-slices", "a", "b", *words)
    assert spec.inputs == {"volume": "a", "segmentation": "s.nrrd"}
    assert spec.outputs == {"volume": "b", "segmentation": "t.nrrd", "fidelity": "f.nrrd", "picture": "p.png"}


def test_evaluation_takes_several_inputs_and_a_folder():
    spec = spec_of("evaluate", "slices", "a.nrrd", "b.nrrd", "--out", "dir", "--methods", "linear,flow")
    assert spec.inputs == {"volume": ["a.nrrd", "b.nrrd"]} and spec.options == {"methods": ("linear", "flow")}
    assert spec.outputs["table"] == str(Path("dir") / "slices.csv")
    assert {Path(p).suffix for p in spec.outputs.values()} == {".csv", ".png"}


def test_interpolation_writes_what_was_asked_for(heart, out, capsys):
    words = [
        "interpolate-slices",
        str(heart),
        str(out / "a.nii.gz"),
        "--factor",
        "4",
        "--method",
        "linear",
        "--fidelity",
        str(out / "f.mha"),
    ]
    assert cli.main(words) == 0
    captured = capsys.readouterr()
    assert captured.out.split() == [str(out / "a.nii.gz"), str(out / "f.mha")]
    made, before = sitk.ReadImage(str(out / "a.nii.gz")), sitk.ReadImage(str(heart))
    assert made.GetSize() == (48, 40, 29) and made.GetSpacing() == pytest.approx((*before.GetSpacing()[:2], 1.25), rel=1e-5)
    assert np.array_equal(sitk.GetArrayFromImage(made)[::4], sitk.GetArrayFromImage(before))
    assert {p.name for p in out.iterdir()} == {"a.nii.gz", "a.nii.gz.json", "f.mha", "f.mha.json"}


def test_the_picture_is_a_picture(heart, out):
    assert cli.main(["interpolate-slices", str(heart), str(out / "a.nrrd"), "--method", "linear", "--picture", str(out / "p.png")]) == 0
    assert (out / "p.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_labels_are_carried_along(heart, out, tmp_path):
    image = sitk.ReadImage(str(heart))
    labels = sitk.Cast(image > 100, sitk.sitkUInt8)
    sitk.WriteImage(labels, str(tmp_path / "labels.nrrd"))
    words = [
        "--segmentation",
        str(tmp_path / "labels.nrrd"),
        "--segmentation-out",
        str(out / "s.nrrd"),
        "--method",
        "linear",
        "--factor",
        "2",
    ]
    assert cli.main(["interpolate-slices", str(heart), str(out / "a.nrrd"), *words]) == 0
    made = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "s.nrrd")))
    assert made.shape == (15, 40, 48) and set(np.unique(made)) == {0, 1}
    assert np.array_equal(made[::2], sitk.GetArrayFromImage(labels))


def test_json_lines_tell_a_program_everything(heart, out, capsys):
    assert cli.main(["interpolate-slices", str(heart), str(out / "a.nrrd"), "--method", "linear", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fractions = [e["fraction"] for e in events if e["event"] == "progress"]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(fractions) > 3
    assert events[-1]["event"] == "result" and events[-1]["outputs"] == {"volume": str(out / "a.nrrd")}
    assert events[-1]["report"]["method"] == "linear" and events[-1]["seconds"] > 0


def test_json_lines_tell_a_program_of_errors(capsys):
    assert cli.main(["interpolate-slices", "no such file.nrrd", "a.nrrd", "--json"]) == errors.InputError.exit_code
    captured = capsys.readouterr()
    event = json.loads(captured.out.splitlines()[-1])
    assert event["event"] == "error" and event["kind"] == "InputError" and event["exit_code"] == 2
    assert captured.err.count("\n") == 1


def test_quiet_says_the_path_alone(heart, out, capsys):
    assert cli.main(["interpolate-slices", str(heart), str(out / "a.nrrd"), "--method", "linear", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and captured.out == f"{out / 'a.nrrd'}\n"


def test_evaluation_prints_a_table_and_writes_a_folder(heart, out, capsys):
    assert cli.main(["evaluate", "slices", str(heart), "--methods", "linear,bspline", "--out", str(out / "new" / "folder")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^linear +0\.\d+", printed, re.MULTILINE) and re.search(r"^bspline +0\.\d+", printed, re.MULTILINE)
    rows = list(csv.DictReader((out / "new" / "folder" / "slices.csv").open(encoding="utf-8")))
    assert {row["method"] for row in rows} >= {"linear", "bspline"} and {row["slice"] for row in rows} == {"1", "3", "5"}


def test_a_cohort_is_scored_together(heart, capsys):
    other = heart.with_name("other.nrrd")
    shutil.copy(heart, other)
    assert cli.main(["evaluate", "slices", str(heart), str(other), "--methods", "linear", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])["report"]
    assert report["volumes"] == 2 and set(report["chosen"]) == {"heart", "other"}


def test_a_failed_evaluation_leaves_no_folder(heart, out):
    assert cli.main(["evaluate", "slices", str(heart), "--methods", "nonsense", "--out", str(out / "new" / "folder")]) == 3
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--version"], 0),
        ([], 3),
        (["nonsense"], 3),
        (["interpolate-slices", "a.nrrd"], 3),
        (["interpolate-slices", "{heart}", "{out}/a.nrrd", "--spacing", "thin"], 3),
        (["interpolate-slices", "{heart}", "{out}/a.nrrd", "--batch-size", "1.5"], 3),
        (["interpolate-slices", "{heart}", "{out}/a.nrrd", "--batch-size", "0"], 3),
        (["interpolate-slices", "{heart}", "{out}/a.nrrd", "--method", "magic"], 3),
        (["interpolate-slices", "{heart}", "{out}/a.nrrd", "--spacing", "1", "--factor", "2"], 3),
        (["evaluate", "slices", "{heart}", "{heart}"], 2),
        (["models", "show", "nonsense"], 4),
        (["app", "no such file.nrrd"], 2),
        (["completion", "tcsh"], 3),
    ],
)
def test_exit_codes(heart, out, capsys, words, code):
    assert cli.main([word.format(heart=heart, out=out) for word in words]) == code
    captured = capsys.readouterr()
    assert code == 0 or (captured.err.count("\n") == 1 and captured.err.endswith(".\n") and captured.out == "")
    assert list(out.iterdir()) == []


def test_a_failure_that_nobody_foresaw_is_one_sentence_too(heart, out, capsys, monkeypatch):
    from MedSRLib.io import formats

    monkeypatch.setattr(formats, "read", lambda *_: 1 / 0)
    words = ["interpolate-slices", str(heart), str(out / "a.nrrd")]
    assert cli.main(words) == 1
    assert "ZeroDivisionError" in (told := capsys.readouterr().err) and told.count("\n") == 1
    monkeypatch.setenv(cli.DEBUG, "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(words)


def test_a_group_of_verbs_without_one_names_them(capsys):
    assert cli.main(["models"]) == 3
    assert "list|show|verify" in capsys.readouterr().err
