"""Models: cards are complete, weights are what the card says, everything else is refused in one sentence."""

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from MedSRLib import models
from MedSRLib.errors import ModelError

CARDS = models.list_cards()
LARGEST_BYTES = 12_000_000
LARGEST_TOTAL_BYTES = 40_000_000


@pytest.fixture
def a_copy(tmp_path, monkeypatch):
    """A folder of the user's own that holds a copy of the smallest shipped model."""
    smallest = min(CARDS, key=lambda card: card.bytes)
    shutil.copytree(smallest.folder, tmp_path / smallest.id)
    monkeypatch.setenv(models.OWN_FOLDER, str(tmp_path))
    return tmp_path / smallest.id


def edit(folder, **changes):
    path = folder / "card.json"
    data = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}), encoding="utf-8")


MEASURED_ON = {
    "ct-super-resolver": "lung_phantom",
    "sr-cyclegan": "lung_phantom",
    "ct-super-resolver-bone": "bone",
    "place-features": "registration",
    "slice-refiner": "acdc_5mm",
    "slice-autoencoder": "acdc_5mm",
}
"""What each model's figures were measured on for its release, as the card names it."""


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_a_shipped_model_is_complete_and_can_be_built(card, root):
    assert models.verify(card.id) == card
    module = models.build(card.id)
    assert not module.training and sum(p.numel() for p in module.parameters()) > 1000
    assert card.bytes <= LARGEST_BYTES
    named = [word for word in card.command.split() if word.startswith("training/")]
    assert named and all((root / word).is_file() for word in named)
    assert all({"name", "licence"} <= row.keys() for row in card.training_data)
    assert MEASURED_ON[card.id] in card.figures and card.licence_text.strip()
    assert len(card.known_failures) > 0 and card.valid_range["text"]


def test_shipped_models_fit_into_the_extension_and_one_is_the_default():
    assert sum(card.bytes for card in CARDS) <= LARGEST_TOTAL_BYTES
    assert [card.id for card in CARDS if card.default and card.task == "interpolate_slices"] == [CARDS[0].id]


def test_the_committed_configuration_describes_the_shipped_network(root):
    yaml = pytest.importorskip("yaml")
    for card in CARDS:
        config = yaml.safe_load((root / "training" / "configs" / f"{card.id}.yaml").read_text(encoding="utf-8"))
        arguments = config["model"]["init_args"]
        assert arguments["network"] == card.network
        configured, shipped = dict(arguments["arguments"]), dict(card.arguments)
        assert configured == {name: shipped.get(name) for name in configured}
        for name in shipped.keys() - configured.keys():  # set after the training: the card says so
            assert any(f'"{name}"' in sentence for sentence in card.left_open)


def test_the_list_of_models_imports_the_standard_library_only():
    code = "import sys; from MedSRLib import models; models.list_cards(); print({'torch', 'numpy', 'safetensors'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    assert done.stdout.strip() == "set()"


def _environment():
    import os
    from pathlib import Path

    return os.environ | {"PYTHONPATH": str(Path(models.__file__).parents[1])}


def test_the_users_own_folder_is_found_first(a_copy):
    edit(a_copy, title="mine")
    assert models.card(a_copy.name).title == "mine"


def test_an_unknown_model_is_one_sentence_that_names_the_known_ones():
    with pytest.raises(ModelError, match=CARDS[0].id):
        models.build("no-such-model")


@pytest.mark.parametrize(
    "field", ["sha256", "licence", "training_data", "command", "left_open", "valid_range", "figures", "ideas", "known_failures"]
)
def test_an_incomplete_card_is_refused(a_copy, field):
    edit(a_copy, **{field: None})
    with pytest.raises(ModelError, match=field):
        models.verify(a_copy.name)
    assert models.list_cards()  # the others are still listed


def test_truncated_weights_are_refused(a_copy):
    weights = a_copy / models.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="bytes"):
        models.build(a_copy.name)


def test_altered_weights_are_refused(a_copy):
    weights = bytearray((a_copy / models.WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (a_copy / models.WEIGHTS).write_bytes(weights)
    with pytest.raises(ModelError, match="checksum"):
        models.build(a_copy.name)


def test_a_pickle_is_refused_and_never_read(a_copy):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('the pickle was run')",))

    (a_copy / "weights.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="pickle"):
        models.build(a_copy.name)


def test_a_pickle_under_the_name_of_weights_is_refused(a_copy):
    data = pickle.dumps({"weight": [1.0, 2.0]})
    (a_copy / models.WEIGHTS).write_bytes(data)
    edit(a_copy, bytes=len(data), sha256=models.sha256(a_copy / models.WEIGHTS))
    with pytest.raises(ModelError, match="not a safetensors file"):
        models.build(a_copy.name)


def test_weights_of_another_network_are_refused(a_copy):
    save = pytest.importorskip("safetensors.numpy").save_file
    save({"something.weight": np.zeros(3, np.float32)}, a_copy / models.WEIGHTS)
    edit(a_copy, bytes=(a_copy / models.WEIGHTS).stat().st_size, sha256=models.sha256(a_copy / models.WEIGHTS))
    with pytest.raises(ModelError, match="do not fit"):
        models.build(a_copy.name)


def test_an_unknown_network_is_refused(a_copy):
    edit(a_copy, network="perceiver")
    with pytest.raises(ModelError, match="perceiver"):
        models.build(a_copy.name)


def test_a_model_without_licence_text_is_refused(a_copy):
    (a_copy / "LICENSE").unlink()
    with pytest.raises(ModelError, match="LICENSE"):
        models.verify(a_copy.name)


def test_a_users_own_default_comes_before_the_shipped_one(tmp_path, monkeypatch):
    import shutil

    shutil.copytree(models.SHIPPED / "ct-super-resolver", tmp_path / "zz")
    card = json.loads((tmp_path / "zz/card.json").read_text(encoding="utf-8"))
    (tmp_path / "zz/card.json").write_text(json.dumps(card | {"id": "zz"}), encoding="utf-8")
    monkeypatch.setenv(models.OWN_FOLDER, str(tmp_path))
    assert models.default_of("super_resolve_ct", "").id == "zz"
    monkeypatch.delenv(models.OWN_FOLDER)
    assert models.default_of("super_resolve_ct", "").id == "ct-super-resolver"
