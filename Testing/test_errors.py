"""One error, said by each door in its own words for an option."""

from __future__ import annotations

import json

import numpy as np
import pytest
from MedSRLib import cli
from MedSRLib.cli_console import flag_of
from MedSRLib.errors import InputError, OptionError, from_dict
from MedSRLib.geometry import plan_slices
from MedSRLib.tasks.interpolate_slices import Options
from MedSRLib.tasks.options import validate
from MedSRLib.volume import Volume


def coarser() -> OptionError:
    """What the grid itself says of a spacing that is too coarse."""
    with pytest.raises(OptionError) as caught:
        plan_slices(Volume(np.zeros((4, 2, 2)), (1.0, 1.0, 5.0)), 7.0)
    return caught.value


def test_an_option_is_named_as_the_field_or_as_the_flag():
    error = coarser()
    assert error.sentence() == str(error) == "Spacing: 7 mm is coarser than the slices' own 5 mm; ask for a finer spacing."
    assert error.named(flag_of).sentence() == "--spacing: 7 mm is coarser than the slices' own 5 mm; ask for a finer spacing."


def test_the_name_survives_the_way_through_a_child_process():
    error = from_dict(json.loads(json.dumps(coarser().to_dict())))
    assert type(error) is OptionError and error.named(flag_of).where == "--spacing"


def test_a_remedy_speaks_of_options_too_and_a_path_with_braces_stays_as_it_is():
    error = InputError("sheared", where="/data/{axis}/a.nrrd", fix="allow resampling with {allow_shear}").named(flag_of)
    assert error.sentence() == "/data/{axis}/a.nrrd: sheared; allow resampling with --allow-shear."
    assert type(error) is InputError and error.exit_code == InputError.exit_code


def test_limits_and_choices_name_the_option():
    for options, flag in ((Options(batch_size=0), "--batch-size"), (Options(method="magic"), "--method")):
        with pytest.raises(OptionError) as caught:
            validate(options)
        assert "--" not in caught.value.sentence() and caught.value.named(flag_of).where == flag


def test_the_command_names_the_flag_as_text_and_as_json(sample_dir, tmp_path, capsys):
    words = ["interpolate-slices", str(sample_dir / "pig_cine_ed.nrrd"), str(tmp_path / "o.nrrd"), "--spacing", "7", "--json"]
    assert cli.main(words) == OptionError.exit_code
    said = capsys.readouterr()
    event = json.loads(said.out.splitlines()[-1])
    assert event["where"] == "--spacing" and said.err.startswith("--spacing: 7 mm is coarser")
