"""The rules of the house, read from the code itself: floors, imports, lengths, what a line may not hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "MedSR" / "MedSRLib"
FLOORS = {
    "__init__": -1, "errors": -1, "volume": 0,
    "geometry": 1, "intensity": 1,
    "tiles": 2, "metrics": 2, "motion": 2, "lungs": 2, "tissue": 2, "outlines": 2, "networks": 2, "registration": 2,
    "io": 3, "degrade": 3, "models": 3, "run": 3,
    "report": 4,
    "tasks": 5,
    "jobs": 6,
    "scene": 7,
    "widgets": 8, "workstation": 8,
    "cli": 9, "__main__": 10,
}  # fmt: skip
"""Room: floor. A room is a folder, or a file with those that begin with its name and an underscore (jobs, jobs_child).
Errors are the ground."""
DOORS_ONLY = ("slicer", "vtk", "qt", "ctk", "PySide6", "trame", "trame_slicer", "vtkmodules")
"""What floors 0 to 6 never import, not even inside a function."""
HEAVY = ("torch", "skimage", "safetensors", "highdicom", "openslide", "cv2", "numpy", "scipy", "SimpleITK", "pydicom", "matplotlib", "rich")
SLICER_LACKS = ("torch", "skimage", "safetensors", "highdicom", "openslide", "tifffile", "imagecodecs", "PIL", "cv2", "matplotlib", "rich")
"""Not in every Slicer: whatever a page imports must do without."""
FILE_LINES, FUNCTION_LINES = 400, 60


def sources(*folders: Path) -> list[Path]:
    """Every Python file of the product and its tests that is not built or installed."""
    found = [
        path
        for folder in folders or (ROOT / "MedSR", ROOT / "MedSRSliceInterp", ROOT / "MedSRRegistration")
        for path in folder.rglob("*.py")
    ]
    return sorted(path for path in found if not {".venv", "build", "__pycache__"} & set(path.relative_to(ROOT).parts))


def library() -> list[Path]:
    return sources(LIBRARY)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 11))


def named(path: Path) -> str:
    """The file's name in a message."""
    return path.relative_to(ROOT).as_posix()


def room_of(parts: tuple[str, ...]) -> str:
    """The room of a module, from its parts below the library: ("tasks", "options") is of tasks, ("jobs_child",) of jobs."""
    first = parts[0] if parts else "__init__"
    return first if first in FLOORS else first.partition("_")[0]


def parts_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(LIBRARY).with_suffix("").parts


def relative_targets(node: ast.ImportFrom, path: Path) -> list[tuple[str, ...]]:
    """What `from ..x import y` in a file of the library names, as parts below the library."""
    here = parts_of(path)
    base = here[: len(here) - node.level]
    if node.module:
        return [(*base, *node.module.split("."))]
    return [(*base, alias.name) for alias in node.names]


def under_type_checking(module: ast.Module) -> set[ast.AST]:
    """Nodes that only a type checker runs."""
    blocks = [node for node in ast.walk(module) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    return {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}


def absolute_imports(module: ast.Module, at_import_only: bool = False) -> set[str]:
    """Top-level names that are imported absolutely; at_import_only leaves out what stands inside functions."""
    skipped = under_type_checking(module)
    if at_import_only:
        functions = [n for n in ast.walk(module) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        skipped |= {inner for function in functions for inner in ast.walk(function)}
    found = set()
    for node in ast.walk(module):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def test_every_file_has_its_floor():
    assert {named(path) for path in library() if room_of(parts_of(path)) not in FLOORS} == set()


def test_a_floor_imports_only_what_lies_below():
    wrong = []
    for path in library():
        here = room_of(parts_of(path))
        for node in (n for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom) and n.level):
            for target in relative_targets(node, path):
                there = room_of(target)
                package_itself = there not in FLOORS  # `from . import __version__`
                if not package_itself and there != here and FLOORS[there] >= FLOORS[here]:
                    wrong.append(f"{named(path)}:{node.lineno} ({here}, floor {FLOORS[here]}) imports {there} (floor {FLOORS[there]})")
    assert wrong == []


def test_inside_the_library_imports_are_relative():
    assert [named(path) for path in library() if "MedSRLib" in absolute_imports(tree(path))] == []


def test_the_engine_knows_neither_slicer_nor_vtk_nor_qt():
    wrong = [(named(p), sorted(absolute_imports(tree(p)) & set(DOORS_ONLY))) for p in library() if FLOORS[room_of(parts_of(p))] <= 6]
    assert [pair for pair in wrong if pair[1]] == []


def test_torch_is_imported_by_networks_alone_or_inside_functions():
    wrong = [
        named(p) for p in library() if "torch" in absolute_imports(tree(p), at_import_only=True) and room_of(parts_of(p)) != "networks"
    ]
    assert wrong == []


def test_networks_need_torch_alone():
    allowed = {"torch", "math", "__future__", "collections", "dataclasses", "typing", "importlib"}
    assert {
        named(p): sorted(absolute_imports(tree(p)) - allowed) for p in sources(LIBRARY / "networks") if absolute_imports(tree(p)) - allowed
    } == {}


def test_pages_need_at_file_scope_only_what_slicer_has():
    pages = [p for p in sources() if LIBRARY not in p.parents]
    wrong = {named(p): sorted(absolute_imports(tree(p), at_import_only=True) & set(SLICER_LACKS)) for p in pages}
    assert {name: found for name, found in wrong.items() if found} == {}


LISTS = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, {library!r})
"""


def run_blocked(blocked: tuple[str, ...], code: str) -> str:
    """Run code in a fresh Python in which some libraries cannot be imported; gives what it printed."""
    whole = LISTS.format(blocked=set(blocked), library=str(LIBRARY.parent)) + code
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tasks_options_and_models_are_listed_with_the_standard_library_alone():
    code = (
        "from MedSRLib import errors, jobs, models, tasks\n"
        "for name in tasks.NAMES:\n    task = tasks.load(name)\n    task.Options()\n    print(name)\n"
        "print(len(models.list_cards()))\n"
        "print(sorted(set(sys.modules) & {'numpy', 'torch', 'SimpleITK', 'pydicom'}))"
    )
    *names, cards, loaded = run_blocked(HEAVY, code).splitlines()
    assert (
        names
        == [
            "interpolate_slices",
            "super_resolve_ct",
            "register_slide",
            "evaluate_slices",
            "evaluate_ct",
            "evaluate_registration",
            "transform_outlines",
        ]
        and int(cards) >= 0
        and loaded == "[]"
    )


def test_the_help_needs_the_standard_library_alone():
    out = run_blocked(
        HEAVY, "from MedSRLib.cli import main\nassert main(['--help']) == 0\nassert main(['interpolate-slices', '--help']) == 0"
    )
    assert "interpolate-slices" in out and "--spacing MM" in out


def test_the_engine_imports_without_what_slicer_lacks():
    """Each module of floors 0 to 6 but the networks, so that a page may use any."""
    names = [".".join(("MedSRLib", *parts_of(p))).removesuffix(".__init__") for p in library() if FLOORS[room_of(parts_of(p))] <= 6]
    names = [name for name in names if ".networks" not in name]
    run_blocked(SLICER_LACKS, "from importlib import import_module\nfor name in " + repr(names) + ":\n    import_module(name)")


def test_only_the_command_prints():
    """Other rooms report through Progress, warnings and results."""

    def prints(path: Path) -> list[int]:
        calls = (n for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print")
        return [call.lineno for call in calls]

    found = {named(p): prints(p) for p in sources() if LIBRARY not in p.parents or room_of(parts_of(p)) not in ("cli", "__main__")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_bare_except():
    found = [f"{named(p)}:{n.lineno}" for p in sources() for n in ast.walk(tree(p)) if isinstance(n, ast.ExceptHandler) and n.type is None]
    assert found == []


def test_no_global_state():
    found = [f"{named(p)}:{n.lineno}" for p in sources() for n in ast.walk(tree(p)) if isinstance(n, (ast.Global, ast.Nonlocal))]
    assert found == []


def test_files_and_functions_stay_short():
    too_long = []
    for path in (*sources(), *sources(ROOT / "Testing")):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        too_long += [f"{named(path)}: {lines} lines"] if lines > FILE_LINES else []
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= FUNCTION_LINES:
                too_long.append(f"{named(path)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines")
    assert too_long == []


def test_every_module_says_what_it_is():
    silent = [named(p) for p in library() if not ast.get_docstring(tree(p)) and p.read_text(encoding="utf-8").strip()]
    assert silent == []


def tracked() -> list[Path]:
    """Every text file that git knows."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    binary = {".png", ".nrrd", ".safetensors", ".xz", ".gz", ".dcm", ".jpg", ".ico", ".woff2"}
    return [path for path in paths if path.is_file() and path.suffix not in binary]


def test_no_file_names_a_place_of_one_machine():
    """Absolute paths of the machine that something was written on; system folders such as /tmp and /usr are everywhere."""
    pattern = re.compile(r"(?<![\w.:/])/(?:work|home/\w+|root|Users/\w+|mnt)/\w")
    found = []
    for path in tracked():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{named(path)}:{number}: {line.strip()[:80]}")
    assert found == []
