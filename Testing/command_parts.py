"""What the tests of the command share: how it is started as a process, what it is given, a model of one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk

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
