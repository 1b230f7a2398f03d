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
