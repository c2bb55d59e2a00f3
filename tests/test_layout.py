"""The layout of the sources: imports run down, folders and files stay small."""

from __future__ import annotations

import ast
import graphlib
import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = {
    "rknn_harness": "harness/src",
    "sklearn2rknn": "converter/src",
    "scirknn": "device_runtime/src",
    "virtual_npu": "virtual_npu/src",
}
"""Where each package lies. A package imports those behind it only."""

FOLDERS = (*PACKAGES.values(), "tests", "benchmarks", "docs")

MOST_FILES = 12
MOST_ENTRIES = 24
REGISTRIES = frozenset(
    {
        "converter/src/sklearn2rknn/estimators/families",
        "converter/src/sklearn2rknn/passes",
        "converter/src/sklearn2rknn/transformers",
        "device_runtime/src/scirknn/steps",
        "harness/src/rknn_harness/boards/providers",
        "harness/src/rknn_harness/models/families",
        "harness/src/rknn_harness/probe/questions",
    }
)
"""Folders of which each file is an entry of a registry; they hold up to `MOST_ENTRIES`."""

MOST_LINES = 400
LONGER: Mapping[str, int] = {}
"""Files that are longer still, and the most lines that each may have: none any more."""

Imports = Mapping[str, Iterable[tuple[str, str]]]
"""Of each module the (module, name) pairs that it imports of these packages."""


def python_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files below a folder; links are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield from (Path(place) / name for name in sorted(names) if name.endswith(".py"))


def modules_below(source: Path) -> dict[str, Path]:
    """Return the modules of a source folder by their dotted names."""
    found = {}
    for file in python_files(source):
        parts = file.relative_to(source).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports_of(modules: Mapping[str, Path]) -> Imports:
    """Return what each module imports of the others, anywhere in its code."""
    return {name: list(_imported(name, file, modules)) for name, file in modules.items()}


def _imported(name: str, file: Path, modules: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                if f"{source}.{alias.name}" in modules:
                    yield f"{source}.{alias.name}", ""
                elif source in modules:
                    yield source, alias.name


def upward_imports(imports: Imports, packages: Iterable[str]) -> list[str]:
    """Return the imports of a package that stands above, and of private names of another package."""
    floor = {package: number for number, package in enumerate(packages)}
    wrong = []
    for module, targets in imports.items():
        for target, name in targets:
            mine, other = module.split(".")[0], target.split(".")[0]
            if floor[other] < floor[mine]:
                wrong.append(f"{module} imports {target}, which stands above it")
            elif other != mine and any(part.startswith("_") for part in [*target.split("."), name]):
                wrong.append(f"{module} imports the private {target}{name and f'.{name}'}")
    return wrong


def circles(imports: Imports, modules: Mapping[str, Path]) -> list[str]:
    """Return a circle of rooms for each folder that has one.

    A folder's rooms are its files and folders; its ``__init__`` hands names on and is none. Where rooms have
    no circle they stand on floors, and every import runs down.
    """
    wrong = []
    for folder in sorted({file.parent for file in modules.values()}):
        needs: dict[str, set[str]] = defaultdict(set)
        why: dict[tuple[str, str], str] = {}
        for module, targets in imports.items():
            room = _room(folder, modules[module])
            for target, _ in targets:
                other = _room(folder, modules[target])
                if room and other and room != other:
                    needs[room].add(other)
                    why[room, other] = f"{module} imports {target}"
        try:
            graphlib.TopologicalSorter(needs).prepare()
        except graphlib.CycleError as error:
            circle = error.args[1][::-1]
            arrows = [why[pair] for pair in itertools.pairwise(circle)]
            wrong.append(f"{folder.name}: {'; '.join(arrows)}")
    return wrong


def _room(folder: Path, file: Path) -> str:
    """Return which of a folder's rooms a file is or is in; empty for none."""
    if not file.is_relative_to(folder) or file == folder / "__init__.py":
        return ""
    return file.relative_to(folder).parts[0]


def crowded_folders(root: Path, folders: Iterable[str], registries: Iterable[str]) -> list[str]:
    """Return the folders that hold more Python files than they may."""
    files: dict[str, int] = defaultdict(int)
    for folder in folders:
        for file in python_files(root / folder):
            files[file.parent.relative_to(root).as_posix()] += file.name != "__init__.py"
    wrong = [f"{name} is a registry that is not there" for name in registries if name not in files]
    for name, count in files.items():
        most = MOST_ENTRIES if name in registries else MOST_FILES
        if count > most:
            wrong.append(f"{name} holds {count} Python files, more than {most}")
    return wrong


def long_files(root: Path, folders: Iterable[str], longer: Mapping[str, int]) -> list[str]:
    """Return the files that have more lines than they may, and the exceptions that are needed no longer."""
    lines = {
        file.relative_to(root).as_posix(): len(file.read_text("utf-8").splitlines())
        for folder in folders
        for file in python_files(root / folder)
    }
    wrong = [
        f"{name} has {count} lines, more than {longer.get(name, MOST_LINES)}"
        for name, count in lines.items()
        if count > longer.get(name, MOST_LINES)
    ]
    return wrong + [
        f"{name} is no exception any more: take it off the list"
        for name in longer
        if lines.get(name, 0) <= MOST_LINES
    ]


@pytest.fixture(scope="module")
def sources() -> dict[str, Path]:
    return {name: file for source in PACKAGES.values() for name, file in modules_below(ROOT / source).items()}


def test_packages_import_down(sources: dict[str, Path]) -> None:
    assert upward_imports(imports_of(sources), PACKAGES) == []


def test_rooms_import_down(sources: dict[str, Path]) -> None:
    assert circles(imports_of(sources), sources) == []


def test_folders_are_small() -> None:
    assert crowded_folders(ROOT, FOLDERS, REGISTRIES) == []


def test_files_are_short() -> None:
    assert long_files(ROOT, FOLDERS, LONGER) == []


def plant(root: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """Write files of the packages ``upper`` and ``lower``; return their modules."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return modules_below(root)


GOOD = {
    "upper/__init__.py": "from upper.main import run\n",
    "upper/main.py": "from lower.store import save\nfrom upper.parts import one\n",
    "upper/parts/__init__.py": "",
    "upper/parts/one.py": "import lower\nfrom . import two\n",
    "upper/parts/two.py": "from upper import errors\n",
    "upper/errors.py": "",
    "lower/__init__.py": "",
    "lower/store.py": "from . import _kinds\n",
    "lower/_kinds.py": "",
}


def test_a_good_layout_is_let_through(tmp_path: Path) -> None:
    modules = plant(tmp_path, GOOD)
    assert upward_imports(imports_of(modules), ("upper", "lower")) == []
    assert circles(imports_of(modules), modules) == []
    assert crowded_folders(tmp_path, ["upper"], []) == long_files(tmp_path, ["upper"], {}) == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("lower/store.py", "import upper.main\n", "lower.store imports upper.main, which stands above it"),
        ("lower/store.py", "def f():\n    from upper import run\n", "lower.store imports upper, which"),
        (
            "upper/main.py",
            "from lower._kinds import Kind\n",
            "upper.main imports the private lower._kinds.Kind",
        ),
        (
            "upper/main.py",
            "from lower.store import _save\n",
            "upper.main imports the private lower.store._save",
        ),
    ],
)
def test_an_import_that_crosses_packages_upwards_is_found(
    file: str, text: str, expected: str, tmp_path: Path
) -> None:
    modules = plant(tmp_path, {**GOOD, file: text})
    (found,) = upward_imports(imports_of(modules), ("upper", "lower"))
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("upper/errors.py", "from upper.main import run\n", "upper: upper.errors imports upper.main; "),
        ("upper/parts/two.py", "from . import one\n", "parts: upper.parts."),
        ("upper/parts/two.py", "from ..main import run\n", "upper: upper."),
        ("lower/_kinds.py", "if TYPE_CHECKING:\n    from lower.store import S\n", "lower: lower."),
    ],
)
def test_a_circle_of_rooms_is_found(file: str, text: str, expected: str, tmp_path: Path) -> None:
    modules = plant(tmp_path, {**GOOD, "upper/main.py": GOOD["upper/main.py"] + "from upper import errors\n"})
    assert circles(imports_of(modules), modules) == []
    modules = plant(tmp_path, {file: text})
    assert any(found.startswith(expected) for found in circles(imports_of(modules), modules))


def test_a_crowded_folder_is_found(tmp_path: Path) -> None:
    plant(tmp_path, {f"upper/file{number}.py": "" for number in range(MOST_FILES)})
    assert crowded_folders(tmp_path, ["upper"], []) == []
    plant(tmp_path, {"upper/one_more.py": ""})
    assert crowded_folders(tmp_path, ["upper"], []) == ["upper holds 13 Python files, more than 12"]
    assert crowded_folders(tmp_path, ["upper"], ["upper"]) == []
    assert crowded_folders(tmp_path, ["upper"], ["upper", "lower"]) == [
        "lower is a registry that is not there"
    ]
    plant(tmp_path, {f"upper/entry{number}.py": "" for number in range(MOST_FILES)})
    assert crowded_folders(tmp_path, ["upper"], ["upper"]) == ["upper holds 25 Python files, more than 24"]


@pytest.mark.parametrize(
    ("lines", "longer", "expected"),
    [
        (400, {}, []),
        (401, {}, ["upper/a.py has 401 lines, more than 400"]),
        (500, {"upper/a.py": 500}, []),
        (501, {"upper/a.py": 500}, ["upper/a.py has 501 lines, more than 500"]),
        (400, {"upper/a.py": 500}, ["upper/a.py is no exception any more: take it off the list"]),
        (1, {"upper/b.py": 500}, ["upper/b.py is no exception any more: take it off the list"]),
    ],
)
def test_a_long_file_is_found(
    lines: int, longer: dict[str, int], expected: list[str], tmp_path: Path
) -> None:
    plant(tmp_path, {"upper/a.py": "#\n" * lines})
    assert long_files(tmp_path, ["upper"], longer) == expected
