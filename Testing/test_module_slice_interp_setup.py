"""Libraries that a page of Slicer asks for, samples that it offers, self-tests of every module, run under PySide6."""

from __future__ import annotations

import builtins
import importlib.metadata
import runpy
import subprocess
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")

import page_slice_interp  # noqa: E402
import slicer  # noqa: E402
from MedSRLib.errors import DependencyError, InputError  # noqa: E402
from MedSRLib.scene import samples, sequences  # noqa: E402
from MedSRLib.widgets import dependencies  # noqa: E402
from MedSRLib.widgets.task_logic import RESOURCES  # noqa: E402
from page_slice_interp import PAGE, ROOT, STARTED, with_stand_in  # noqa: E402
from pages import StandInJob, settle  # noqa: E402
from slicer_host import host  # noqa: E402

a_page, a_sample = page_slice_interp.a_page, page_slice_interp.a_sample


# ------------------------------------------------------------------------------------------------------ dependencies


class Packaging:
    """slicer.packaging of Slicer 5.12, which notes what it is asked."""

    def __init__(self, fails=None):
        self.asked, self.fails = [], fails

    def load_requirements(self, path):
        return [line for line in Path(path).read_text().splitlines() if line and line[0] not in "#-"]

    def pip_ensure(
        self,
        requirements,
        constraints=None,
        skip_packages=None,
        prompt_install=True,
        prompt_restart=True,
        requester=None,
        skip_in_testing=True,
        show_progress=True,
    ):
        self.asked.append((requirements, Path(constraints).read_text(), requester))
        if self.fails:
            raise self.fails


def test_dependencies_are_ensured_with_slicers_own_libraries_pinned(monkeypatch):
    packaging = Packaging()
    monkeypatch.setattr(dependencies, "_slicer_packaging", lambda: packaging)
    dependencies.ensure(RESOURCES / "requirements.txt", "MedSR")
    requirements, pins, requester = packaging.asked[0]
    assert requester == "MedSR" and any(r.startswith("opencv-python-headless>=") for r in requirements)
    assert not any(r.startswith(("torch", "numpy", "SimpleITK", "scipy", "pydicom")) for r in requirements)
    assert all(">=" in r for r in requirements)
    for name in ("numpy", "scipy", "SimpleITK", "pydicom"):
        assert f"{name}=={importlib.metadata.version(name)}" in pins


@pytest.mark.parametrize("fault", [RuntimeError("User declined package installation"), subprocess.CalledProcessError(1, "pip")])
def test_a_refused_or_failed_installation_is_one_sentence(monkeypatch, fault):
    monkeypatch.setattr(dependencies, "_slicer_packaging", lambda: Packaging(fault))
    with pytest.raises(DependencyError, match="installed"):
        dependencies.ensure(RESOURCES / "requirements.txt", "MedSR")


def test_an_older_slicer_installs_by_pip_with_the_same_pins(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(dependencies, "_slicer_packaging", lambda: None)
    monkeypatch.setattr(slicer.app, "testingEnabled", lambda: False, raising=False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *a: True)
    monkeypatch.setattr(slicer.util, "pip_install", asked.append)
    (tmp_path / "requirements.txt").write_text("# note\nno-such-library>=1\nnumpy>=1\n", encoding="utf-8")
    dependencies.ensure(tmp_path / "requirements.txt", "MedSR")
    assert asked[0][:2] == ["no-such-library>=1", "-c"]


def without_torch(monkeypatch):
    monkeypatch.setattr(dependencies, "ensure", lambda *a: None)
    monkeypatch.setattr(dependencies, "torch_installed", lambda: False)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)


def test_without_torch_the_model_says_so_and_auto_goes_on(a_page, a_sample, errors_shown, monkeypatch):
    without_torch(monkeypatch)
    settle()
    job = with_stand_in(a_page, StandInJob())
    a_page._parameters.method = "model"
    a_page.ui.applyButton.click()
    assert not a_page.panel.running and "PyTorch extension" in errors_shown[0] and errors_shown[0].count(".") == 1
    a_page._parameters.method = "auto"
    a_page.ui.applyButton.click()
    assert a_page.panel.running and "methods that can run are compared" in a_page.ui.logText.toPlainText()
    job.cancel()


def test_torch_comes_from_the_pytorch_extension_and_is_never_imported_here(monkeypatch):
    done = []

    class Utilities:
        class PyTorchUtilsLogic:
            def installTorch(
                self,
                askConfirmation=False,
                forceComputationBackend=None,
                torchVersionRequirement=None,
                torchvisionVersionRequirement=None,
            ):
                done.append(askConfirmation)

    monkeypatch.setitem(sys.modules, "PyTorchUtils", Utilities)
    monkeypatch.setattr(dependencies, "torch_installed", lambda: bool(done))
    real = builtins.__import__
    guard = lambda name, *a, **k: pytest.fail("torch imported") if name == "torch" else real(name, *a, **k)  # noqa: E731
    monkeypatch.setattr(builtins, "__import__", guard)
    dependencies.ensure_torch()
    assert done == [True]


def test_who_declines_torch_is_not_sent_for_the_extension_that_is_there(monkeypatch):
    """PyTorchUtils returns None where the user says no: it raises nothing."""
    logic = types.SimpleNamespace(installTorch=lambda askConfirmation: None)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=lambda: logic))
    monkeypatch.setattr(dependencies, "torch_installed", lambda: False)
    with pytest.raises(DependencyError, match="allow the installation, or choose another method"):
        dependencies.ensure_torch()


def test_linear_needs_nothing_installed(monkeypatch):
    monkeypatch.setattr(dependencies, "ensure", lambda *a: pytest.fail("asked to install"))
    PAGE.MedSRSliceInterpLogic().ensure_dependencies("linear")


# ------------------------------------------------------------------------------------------- samples, self-tests, pages


def test_the_samples_are_offered_checked_and_loaded(scene):
    slicer.modules.sampleDataSources = {}
    STARTED()
    still, cine, thorax = slicer.modules.sampleDataSources["MedSR"]
    assert len(still.verify()) < 2**20 and still.verify()[:4] == b"NRRD"
    cine.verify()
    node = still.button_clicked()
    assert node.GetImageData().GetDimensions() == (176, 176, 20) and node.GetSpacing() == pytest.approx((0.8203, 0.8203, 5), abs=1e-3)
    _, sequence = sequences.sequence_of(cine.button_clicked())
    assert sequence.GetNumberOfDataNodes() == 4 and sequence.GetIndexUnit() == "ms"
    assert len(thorax.verify()) < 2**19
    node = thorax.button_clicked()
    assert node.GetImageData().GetDimensions() == (144, 144, 16) and node.GetSpacing() == pytest.approx((0.78125, 0.78125, 1))


def test_an_altered_sample_is_refused(tmp_path):
    (tmp_path / "SampleData").mkdir()
    (tmp_path / "SampleData" / samples.STILL.file).write_bytes(b"NRRD")
    with pytest.raises(InputError, match="not the file that was shipped"):
        samples.checked(tmp_path, samples.STILL)


@pytest.mark.parametrize("name", host.MODULES)
def test_the_modules_own_self_test_passes(name, scene):
    _, module = host.load_module(name)
    assert module.parent.title and module.parent.helpText and module.parent.icon
    slicer.selfTests[name]()


def test_the_script_for_slicer_itself_opens_and_tests_every_module(scene, monkeypatch):
    """Run by --testing --python-script, whose exit code an exit() of the script's own would hide."""
    opened, tested = [], []
    monkeypatch.setattr(slicer.util, "selectModule", opened.append)
    monkeypatch.setattr(slicer.util, "exit", lambda status=0: pytest.fail("it hides errors that Qt caught"), raising=False)
    monkeypatch.setattr(slicer, "selfTests", {name: lambda name=name: tested.append(name) for name in host.MODULES})
    script = ROOT / "Testing" / "in_slicer.py"
    runpy.run_path(str(script))
    assert opened == tested == list(host.MODULES)
    monkeypatch.setitem(slicer.selfTests, "MedSRSliceInterp", lambda: (_ for _ in ()).throw(AssertionError("a test failed")))
    with pytest.raises(AssertionError, match="a test failed"):
        runpy.run_path(str(script))
    assert "Testing/in_slicer.py" in (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
