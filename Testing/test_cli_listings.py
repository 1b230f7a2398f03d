"""What the command lists: series, models and their cards, the words that a shell completes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import command_parts
import pytest
from MedSRLib import cli
from MedSRLib.cli_completion import SCRIPTS

heart, own_model = command_parts.heart, command_parts.own_model


def test_series_of_a_file_are_listed(heart, capsys):
    assert cli.main(["series", str(heart), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["slices"], row["size"], row["frames"]) == (8, "48×40", 1)


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
