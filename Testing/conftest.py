"""Fixtures that every test file may use.

Those of one subject stand in a helper (`page_medsr`, `ct_scans`, …); a test file takes them by name, as pytest looks for them there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXIT_STATUS = pytest.StashKey[int]()
pytest.register_assert_rewrite("bad_files", "dicom_headers")
"""Helpers whose asserts show their values, as those of test files do."""


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


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[EXIT_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End at once, with the tests' own status: torch, VTK, Qt, OpenSlide and OpenCV in one process, as nothing but this run has them,
    may crash while the interpreter takes them down, after the last test and the summary."""
    status = config.stash.get(EXIT_STATUS, None)
    if status is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
