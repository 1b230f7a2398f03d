"""Fixtures that every test file may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data named by MEDSR_TEST_DATA; a test that needs it is skipped without it."""
    folder = os.environ.get("MEDSR_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MEDSR_TEST_DATA does not name a folder of test data")
    return Path(folder)


@pytest.fixture(scope="session")
def sample_dir() -> Path:
    """The sample data that ships with the extension."""
    return ROOT / "MedSR" / "Resources" / "SampleData"


@pytest.fixture
def scene():
    """Slicer's scene, emptied; Qt is not needed."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from slicer_host import application

    app = application.install()
    app.scene.Clear(False)
    app.applicationLogic().GetColorLogic().AddDefaultColorNodes()
    return app.scene


@pytest.fixture
def errors_shown(monkeypatch) -> list[str]:
    """The sentences that Slicer's error display was given."""
    slicer = pytest.importorskip("slicer.util", reason="slicer-core is not installed")
    shown: list[str] = []
    monkeypatch.setattr(slicer, "errorDisplay", lambda text, **_: shown.append(text))
    return shown
