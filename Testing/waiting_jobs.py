"""Jobs of the stand-in task `waits`, on a volume in a folder of its own."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from MedSRLib import tasks
from MedSRLib.io import formats
from MedSRLib.jobs import Specification
from MedSRLib.volume import Volume

STAND_IN = Path(__file__).parent / "stand_in_task"


@pytest.fixture
def stand_in(monkeypatch):
    """The task `waits`, in this process and in its children."""
    monkeypatch.setattr(tasks, "NAMES", tasks.NAMES)
    runpy.run_path(str(STAND_IN / "sitecustomize.py"))
    monkeypatch.setenv("PYTHONPATH", str(STAND_IN))


@pytest.fixture
def folder(tmp_path):
    """A folder whose name has spaces and accents, holding one volume of 4 slices."""
    folder = tmp_path / "coupe épaisse – Übung"
    folder.mkdir()
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    formats.write(folder / "cœur.nrrd", Volume(values, (1.0, 1.0, 5.0), (3.0, -4.0, 5.0)))
    return folder


@pytest.fixture
def spec(stand_in, folder):
    """A job on that volume; call it with options to change them."""

    def make(outputs=("volume",), **options):
        names = {"volume": "résultat.nrrd", "figures": "figures.csv", "picture": "picture.png"}
        paths = {port: str(folder / names[port]) for port in outputs}
        return Specification("waits", {"volume": str(folder / "cœur.nrrd")}, paths, options)

    return make


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
