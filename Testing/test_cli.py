"""The command: verbs and flags made from the tasks, what it prints, what it returns, what it leaves behind."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from MedSRLib import __version__, cli, cli_benchmark, cli_benchmark_child, cli_benchmark_ct, cli_benchmark_slices, errors, tasks
from MedSRLib.cli_completion import SCRIPTS
from MedSRLib.cli_tasks import flag_of, specification

STAND_IN = Path(__file__).parent / "stand_in_task"
LIBRARY = Path(__file__).resolve().parents[1] / "MedSR"
COMMAND = [sys.executable, "-m", "MedSRLib"]


@pytest.fixture
def heart(sample_dir, tmp_path):
    """Eight slices of 48×40 of the sample that ships, 0.82×0.82×5 mm, in a folder of its own."""
    image = sitk.ReadImage(str(sample_dir / "pig_cine_ed.nrrd"))[60:108, 60:100, 4:12]
    path = tmp_path / "in" / "heart.nrrd"
    path.parent.mkdir()
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture
def out(tmp_path):
    """An empty folder for results."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def stand_in_environment():
    """Environment of a process that knows the task `wait here`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(STAND_IN), str(LIBRARY)))}


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


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_leaves_nothing_behind(heart, out, stand_in_environment, number, code):
    words = ["wait", "here", str(heart), str(out / "a.nrrd"), "--seconds", "40", "--steps", "400", "--json"]
    process = subprocess.Popen(
        [*COMMAND, *words], env=stand_in_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while "Step" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(number)
    said = process.communicate(timeout=10)[1]
    assert process.returncode == code and said == "cancelled, nothing was written.\n"
    assert list(out.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
def test_a_terminal_gets_a_bar_with_the_remaining_time(heart, out, stand_in_environment):
    import pty

    master, slave = pty.openpty()
    words = ["wait", "here", str(heart), str(out / "a.nrrd"), "--seconds", "2.5"]
    environment = {**stand_in_environment, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([*COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    seen = _all_of(master)
    assert process.communicate()[0] == f"{out / 'a.nrrd'}\n" and process.returncode == 0
    assert "━" in seen and "%" in seen and re.search(r"about \d+ s left", seen) and "Step" in seen


def _all_of(terminal: int) -> str:
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return b"".join(parts).decode("utf-8", "replace")


@pytest.fixture
def without_torch(tmp_path):
    """Environment of a process in which torch cannot be imported."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "torch.py").write_text("raise ImportError('there is no torch', name='torch')")
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path / "blocked"), str(LIBRARY)))}


@pytest.mark.parametrize("method", ["flow", "bspline", "auto"])
def test_without_torch_the_methods_that_need_none_still_run(heart, out, without_torch, method):
    words = ["interpolate-slices", str(heart), str(out / "a.nrrd"), "--method", method]
    done = subprocess.run([*COMMAND, *words], env=without_torch, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sitk.ReadImage(str(out / "a.nrrd")).GetSize()[2] > 40


def test_without_torch_the_model_is_refused_in_one_sentence(heart, out, without_torch, own_model):
    words = ["interpolate-slices", str(heart), str(out / "a.nrrd"), "--model", "mine"]
    done = subprocess.run([*COMMAND, *words], env={**without_torch, "MEDSR_MODELS": str(own_model.parent)}, capture_output=True, text=True)
    assert done.returncode == errors.DependencyError.exit_code and "PyTorch" in done.stderr and done.stderr.count("\n") == 1
    assert list(out.iterdir()) == []


def test_it_runs_as_a_module_and_starts_fast():
    begun = time.perf_counter()
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(LIBRARY)})
    assert done.stdout == f"medsr {__version__}\n" and done.returncode == 0
    assert time.perf_counter() - begun < 5, "importing numpy and torch alone takes longer on a busy machine"


def test_a_closed_pipe_is_no_error(heart):
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run(
        [*COMMAND, "completion", "bash"],
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
    )
    assert done.returncode == 141 and done.stderr == ""


def test_series_of_a_file_are_listed(heart, capsys):
    assert cli.main(["series", str(heart), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["slices"], row["size"], row["frames"]) == (8, "48×40", 1)


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """A folder of one's own with one valid model in it."""
    import hashlib

    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    weights = b"not really weights"
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "LICENSE").write_text("CC0")
    card = {
        "id": "mine", "title": "My own", "task": "interpolate_slices", "network": "none", "arguments": {}, "bytes": len(weights),
        "sha256": hashlib.sha256(weights).hexdigest(), "licence": "CC0-1.0", "training_data": [{"name": "mine", "licence": "CC0"}],
        "command": "train", "left_open": ["nothing"], "valid_range": {"text": "all"}, "figures": {"psnr_db": 20.5},
        "ideas": [{"idea": "none"}], "known_failures": ["it is not a model"],
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(card))
    monkeypatch.setenv("MEDSR_MODELS", str(folder.parent))
    return folder


def test_models_are_listed_with_licence_and_size(own_model, capsys):
    assert cli.main(["models", "list", "--json"]) == 0
    row = next(row for row in json.loads(capsys.readouterr().out) if row["id"] == "mine")
    assert row["licence"] == "CC0-1.0" and row["bytes"] == 18 and row["default"] is False
    assert cli.main(["models", "list"]) == 0
    assert re.search(r"^mine .*CC0-1.0", capsys.readouterr().out, re.MULTILINE)


def test_a_card_is_shown_whole(own_model, capsys):
    assert cli.main(["models", "show", "mine"]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("My own", "CC0-1.0", "it is not a model", "20.5", "train", "LICENSE"))


def test_a_valid_model_is_verified_and_an_altered_one_is_not(own_model, capsys):
    assert cli.main(["models", "verify", "mine"]) == 0
    (own_model / "weights.safetensors").write_bytes(b"other weights here")
    assert cli.main(["models", "verify", "mine"]) == 4
    assert "checksum" in capsys.readouterr().err
    assert cli.main(["models", "verify", "--json"]) == 4
    assert [row["valid"] for row in json.loads(capsys.readouterr().out) if row["id"] == "mine"] == [False]


def completed(line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    script = SCRIPTS["bash"](cli.build_parser()) + 'COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _medsr; printf "%s\\n" "${COMPREPLY[@]}"\n'
    return subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes_verbs_flags_and_choices():
    assert "interpolate-slices" in completed("medsr ") and completed("medsr mod") == ["models"]
    assert completed("medsr models ") == ["list", "show", "verify"]
    assert "--spacing" in completed("medsr interpolate-slices in.nrrd out.nrrd --s")
    assert completed("medsr interpolate-slices --method f") == ["flow"]
    assert completed("medsr evaluate slices --pro") == ["--protocol"]
    assert completed("medsr completion z") == ["zsh"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_every_verb_and_flag(shell, tmp_path):
    script = SCRIPTS[shell](cli.build_parser())
    assert all(word in script for word in ("interpolate-slices", "spacing", "lanczos", "verify", "benchmark"))
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        assert subprocess.run([shell, "-n", str(tmp_path / "script")], capture_output=True).returncode == 0


def test_growth_is_the_exponent():
    assert cli_benchmark.growth_exponent([(28, 2.8), (63, 6.3), (133, 13.3)]) == pytest.approx(1)
    assert cli_benchmark.growth_exponent([(10, 1.0), (20, 4.0)]) == pytest.approx(2)
    assert cli_benchmark.growth_exponent([(10, 1.0)]) is None


def test_the_benchmark_measures_the_method_the_task_and_the_reference():
    module = cli_benchmark.SUBJECTS["interpolate-slices"]
    plan = {"module": module, "side": 48, "slices": 4, "factor": 8, "device": "cpu", "repeats": 1, "growth": [3, 4]}
    reference = cli_benchmark._measure({**plan, "method": cli_benchmark_slices.REFERENCE})
    found = cli_benchmark._measure({**plan, "method": "linear"})
    assert min(found["seconds"], found["task_seconds"], found["start_seconds"], reference["seconds"]) > 0
    assert [count for count, _ in found["growth"]] == [14, 21]
    assert 20 < found["peak_mb"] < 2000


def test_the_reference_of_the_benchmark_is_b_spline_resampling_to_8_times_the_slices():
    volume = cli_benchmark_slices.phantom(4, 32)
    made = cli_benchmark_slices._simpleitk(volume, 8)
    assert made.shape == (25, 32, 32)
    assert np.abs(made[::8].astype(int) - volume.array).max() <= 1, "a B-spline goes through its samples, up to rounding"


def test_the_benchmark_of_ct_measures_voxels_a_second_and_growth_with_the_region():
    plan = {
        "module": cli_benchmark.SUBJECTS["super-resolve-ct"],
        "side": 24,
        "slices": 2,
        "device": "cpu",
        "repeats": 1,
        "growth": [[16, 1]],
    }
    reference = cli_benchmark._measure({**plan, "method": cli_benchmark_ct.REFERENCE})
    found = cli_benchmark._measure({**plan, "method": "bicubic"})
    assert 0 < reference["seconds"] < found["task_seconds"] and found["voxels_a_second"] == pytest.approx(
        2 * 192**2 / found["task_seconds"]
    )
    assert [count for count, _ in found["growth"]] == [256, 1152]


def test_operations_are_counted():
    """One convolution 3×3 from 1 to 2 channels on 8×8 pixels: 2·2·9·64 operations."""
    torch = pytest.importorskip("torch")
    layer, image = torch.nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1, 1, 8, 8)

    def run():
        with torch.inference_mode():
            layer(image)

    found = cli_benchmark_child.operations(run, 1e-3, {"device": "cpu"})
    assert found["gflop"] * 1e9 == 2304 and 0 < found["peak_share"] < 1


def test_a_group_of_verbs_without_one_names_them(capsys):
    assert cli.main(["models"]) == 3
    assert "list|show|verify" in capsys.readouterr().err
