"""Libraries at the first click: nothing is installed before, Slicer's own are never replaced, torch comes from the PyTorch extension."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import slicer.util

from ..errors import DependencyError

PINNED = ("numpy", "scipy", "SimpleITK", "pydicom")
"""What Slicer bundles and compiles against: installing our requirements must not change these."""
NOT_INSTALLED = "the libraries that this needs could not be installed"
NO_TORCH = "the learned model needs PyTorch, which is not installed"
DECLINED = "allow the installation, or choose another method"
GET_TORCH = "install the PyTorch extension (Extensions Manager) and try again, or choose another method"


def constraints() -> str:
    """A pip constraints file that pins Slicer's own libraries at the versions that are installed."""
    lines = []
    for name in PINNED:
        try:
            lines.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return "\n".join(lines) + "\n"


def ensure(requirements: Path, requester: str) -> None:
    """Install what is missing of a requirements file, after asking. Raises DependencyError where it cannot, or may not."""
    with tempfile.TemporaryDirectory(prefix="medsr_") as folder:
        pins = Path(folder) / "constraints.txt"
        pins.write_text(constraints(), encoding="utf-8")
        try:
            _install(Path(requirements), pins, requester)
        except RuntimeError as error:  # Slicer says so where the user declines
            raise DependencyError(NOT_INSTALLED, fix="allow the installation, or choose a method without them") from error
        except (subprocess.CalledProcessError, OSError) as error:
            raise DependencyError(NOT_INSTALLED, fix="see the Python console, check the connection") from error


def _install(requirements: Path, pins: Path, requester: str) -> None:
    packaging = _slicer_packaging()
    if packaging is not None:
        packaging.pip_ensure(packaging.load_requirements(requirements), constraints=pins, requester=requester)
        return
    missing = [line for line in needed(requirements) if not _installed(line)]
    if missing and not slicer.app.testingEnabled():
        if not slicer.util.confirmOkCancelDisplay("These Python packages will be installed: " + ", ".join(missing), requester):
            raise RuntimeError("declined")
        slicer.util.pip_install([*missing, "-c", str(pins)])


def _slicer_packaging() -> Any:
    """slicer.packaging of Slicer 5.12 and newer, or None."""
    try:
        module = importlib.import_module("slicer.packaging")
    except ImportError:
        return None
    return module if hasattr(module, "pip_ensure") and hasattr(module, "load_requirements") else None


def needed(requirements: Path) -> list[str]:
    """The lines of a requirements file, without comments and options."""
    lines = (line.strip() for line in Path(requirements).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and line[0] not in "#-"]


def _installed(line: str) -> bool:
    name = line.split(">")[0].split("=")[0].split(";")[0].strip()
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def torch_installed() -> bool:
    """Whether torch is there for the child process. It is looked up, never imported: this is Slicer's own process."""
    importlib.invalidate_caches()
    return importlib.util.find_spec("torch") is not None


def ensure_torch() -> None:
    """Let the PyTorch extension install torch. Raises DependencyError where it is missing, or the user declines."""
    if torch_installed():
        return
    try:
        utilities = importlib.import_module("PyTorchUtils")
    except ImportError as error:
        raise DependencyError(NO_TORCH, fix=GET_TORCH) from error
    try:
        utilities.PyTorchUtilsLogic().installTorch(askConfirmation=True)
    except Exception as error:  # whatever pip, the network or the driver's probe raises, the user needs the same sentence
        raise DependencyError("PyTorch could not be installed", fix="see the Python console, or choose another method") from error
    if not torch_installed():  # the extension returns None where the user declines
        raise DependencyError(NO_TORCH, fix=DECLINED)
