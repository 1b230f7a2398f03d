"""What an installed extension and an installed wheel hold, against the tree: nothing missing, nothing extra."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

STUB = Path(__file__).resolve().parent / "slicer_stub"
MODULES = ("MedSR", "MedSRSliceInterp", "MedSRRegistration")
SCRIPTS_FOLDER = "lib/Slicer-5.12/qt-scripted-modules/"


def tracked_or_new(root: Path) -> set[Path]:
    """Files of the tree that git does not ignore."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    if listed.returncode == 0:
        return {Path(line) for line in listed.stdout.splitlines() if (root / line).is_file()}
    return {p.relative_to(root) for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def module_files(root: Path) -> set[str]:
    """Every file that belongs to a module at run time, as it is named in the one folder where modules are installed."""
    files = {path for path in tracked_or_new(root) if path.parts[0] in MODULES and path.name != "CMakeLists.txt"}
    return {path.relative_to(path.parts[0]).as_posix() for path in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory, root) -> Path:
    """The extension configured and packed against the stub Slicer."""
    if shutil.which("cmake") is None or shutil.which("cpack") is None:
        pytest.skip("CMake is not installed")
    folder = tmp_path_factory.mktemp("extension build with ä space")
    run = subprocess.run(["cmake", "-S", root, "-B", folder, f"-DSlicer_DIR={STUB}", "-DBUILD_TESTING=ON"], capture_output=True, text=True)
    if "No CMAKE_C_COMPILER" in run.stderr or "No CMAKE_CXX_COMPILER" in run.stderr:
        pytest.skip("no C compiler is installed")
    assert run.returncode == 0, run.stderr
    assert "Warning" not in run.stderr, run.stderr
    pack = subprocess.run(["cpack", "--config", "CPackConfig.cmake"], cwd=folder, capture_output=True, text=True)
    assert pack.returncode == 0, pack.stderr + pack.stdout
    return folder


def test_the_packed_extension_holds_every_file_of_the_modules_and_no_other(built, root):
    with tarfile.open(built / "MedSR-stub.tar.gz") as archive:
        names = {m.name.removeprefix("MedSR-stub/").removeprefix(SCRIPTS_FOLDER) for m in archive.getmembers() if m.isfile()}
    expected = module_files(root)
    assert sorted(expected - names) == [], "not listed in MedSR/CMakeLists.txt"
    assert sorted(names - expected) == [], "packed, but not of the modules"


def test_an_extension_unpacked_anywhere_can_list_its_tasks_and_models(built, tmp_path):
    """From the archive alone, in a Python that has only the standard library's modules on its path."""
    home = tmp_path / "naïve place"
    with tarfile.open(built / "MedSR-stub.tar.gz") as archive:
        archive.extractall(home, filter="data")
    folder = next(home.rglob("qt-scripted-modules"))
    code = "from MedSRLib import tasks, models, jobs; print([tasks.load(n).VERB for n in tasks.NAMES], len(models.list_cards()))"
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("['interpolate-slices'")


def test_the_extension_describes_itself_and_runs_each_modules_test(built, root):
    said = dict(line.split("=", 1) for line in (built / "description.txt").read_text(encoding="utf-8").splitlines())
    assert said["DEPENDS"] == "PyTorch" and "non-commercial" in said["DESCRIPTION"]
    assert said["MODULES"].split(";") == list(MODULES)
    assert said["TESTS"].split(";") == [f"{name}.py" for name in MODULES]
    assert said["ICONURL"].endswith("/Resources/MedSR.png") and said["HOMEPAGE"].endswith("/SlicerMedSR")
    for address in (said["ICONURL"], *said["SCREENSHOTURLS"].split()):
        assert (root / address.partition("/main/")[2]).is_file(), address


def test_a_file_that_does_not_exist_stops_the_configuration(tmp_path):
    if shutil.which("cmake") is None:
        pytest.skip("CMake is not installed")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16.3...3.28)\nproject(X NONE)\nfind_package(Slicer REQUIRED)\ninclude(${Slicer_USE_FILE})\n"
        "slicerMacroBuildScriptedModule(NAME X SCRIPTS missing.py)\n",
        encoding="utf-8",
    )
    run = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "b", f"-DSlicer_DIR={STUB}"], capture_output=True, text=True)
    assert run.returncode != 0 and "nonexistent file or directory 'missing.py'" in " ".join(run.stderr.split())


def test_the_wheel_holds_every_file_of_the_library_and_no_other(tmp_path, root):
    pytest.importorskip("build")
    source = tmp_path / "source"
    for path in tracked_or_new(root):  # a copy: setuptools leaves its work in the tree
        if path.parts[0] in ("MedSR", "pyproject.toml", "README.md", "LICENSE.txt"):
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, source / path)
    if not (source / "README.md").is_file():
        (source / "README.md").write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(source)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:] + run.stdout[-2000:]
    wheel = next((tmp_path / "dist").glob("medsr-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("MedSRLib/") and not name.endswith("/")}
        entry = archive.read(next(n for n in archive.namelist() if n.endswith("entry_points.txt"))).decode()
    expected = {name for name in module_files(root) if name.startswith("MedSRLib/")}
    assert sorted(expected - names) == [], "not in the wheel: see [tool.setuptools] in pyproject.toml"
    assert sorted(names - expected) == []
    assert re.search(r"^medsr = MedSRLib\.cli:main$", entry, re.M)


def test_the_index_entry_has_what_its_schema_demands(root):
    entry = json.loads((root / "MedSR.json").read_text(encoding="utf-8"))
    allowed = {"$schema", "category", "scm_url", "scm_revision", "scm_type", "build_dependencies", "build_subdirectory"}
    assert set(entry) <= allowed | {"dicom_support_rule", "enabled", "tier"}
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert entry["category"] and entry["scm_url"].endswith("/SlicerMedSR.git") and entry["build_dependencies"] == ["PyTorch"]
    assert 1 <= entry["tier"] <= 5 and entry["scm_type"] in ("git", "local")


def test_each_module_has_an_icon_and_the_extension_one_of_128_pixels(root):
    icons = [root / "Resources" / "MedSR.png"] + [root / name / "Resources" / "Icons" / f"{name}.png" for name in MODULES]
    for icon in icons:
        data = icon.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n" and (data[16:20], data[20:24]) == (b"\0\0\0\x80", b"\0\0\0\x80"), icon
