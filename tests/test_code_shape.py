"""The shape of the sources: short functions, few parameters, few public methods, plain words."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.test_layout import PACKAGES, ROOT, modules_below

MOST_LINES = 40
MOST_PARAMETERS = 5
MOST_PARAMETERS_OF_AN_ENTRY_POINT = 9
"""Of what a package exports. The parameters of a command are its options; they are not counted."""

BETWEEN_PACKAGES = frozenset(
    {
        "rknn_harness.conformance.run_case.run_case",
        "rknn_harness.verdicts.judge.judge",
        "sklearn2rknn.checking.float_bounds.output_bound",
        "sklearn2rknn.checking.integer_bounds.quantized_output_bound",
    }
)
"""Entry points too: what a room offers to another package, or a harness without exports to its commands."""

MOST_METHODS = 15

PRIVATE_SENSES = re.compile(r"\b(told|whole|the way|kept back)\b", re.IGNORECASE)
"""Words that this project once used in senses of its own."""

EXCEPTIONS: Mapping[str, str] = {}
"""Functions and classes that are larger, each with the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def exported(packages: Iterable[str]) -> set[str]:
    """Return the qualified names of the entry points: what the packages export, and `BETWEEN_PACKAGES`."""
    names = set(BETWEEN_PACKAGES)
    for package in packages:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            names.add(f"{value.__module__}.{name}" if hasattr(value, "__module__") else f"{package}.{name}")
    return names


def lines_of_code(function: Function, lines: list[str]) -> int:
    """Return how many lines a function's body has without its docstring, comments and blank lines."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    if not body:
        return 0
    held = lines[body[0].lineno - 1 : body[-1].end_lineno]
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in held)


def parameters(function: Function) -> int:
    """Return how many parameters a caller can give; those of a command are its options and count as none."""
    if any(re.search(r"\b(command|option|argument)\(", ast.unparse(one)) for one in function.decorator_list):
        return 0
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def too_large(modules: Mapping[str, Path], entry_points: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the qualified name of what is larger than it may be, and in what."""
    entries = set(entry_points)
    for module, file in modules.items():
        text = file.read_text("utf-8")
        lines = text.splitlines()
        for name, node in _definitions(ast.parse(text), module):
            if isinstance(node, ast.ClassDef):
                public = [
                    one for one in node.body if isinstance(one, Function) and not one.name.startswith("_")
                ]
                if len(public) > MOST_METHODS:
                    yield name, f"{len(public)} public methods, more than {MOST_METHODS}"
                continue
            if (count := lines_of_code(node, lines)) > MOST_LINES:
                yield name, f"{count} lines of code, more than {MOST_LINES}"
            is_entry = name in entries or name.rpartition(".")[0] in entries
            most = MOST_PARAMETERS_OF_AN_ENTRY_POINT if is_entry else MOST_PARAMETERS
            if (count := parameters(node)) > most:
                yield name, f"{count} parameters, more than {most}"


def _definitions(tree: ast.AST, owner: str) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield f"{owner}.{node.name}", node
            yield from _definitions(node, f"{owner}.{node.name}")
        else:
            yield from _definitions(node, owner)


def private_senses(files: Iterable[Path]) -> Iterator[str]:
    """Yield each line that uses a word in a sense of this project's own."""
    for file in files:
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            if PRIVATE_SENSES.search(line):
                yield f"{file.name}:{number}: {line.strip()}"


@pytest.fixture(scope="module")
def sources() -> dict[str, Path]:
    return {name: file for source in PACKAGES.values() for name, file in modules_below(ROOT / source).items()}


def test_functions_and_classes_are_small(sources: dict[str, Path]) -> None:
    large = dict(too_large(sources, exported(PACKAGES)))
    assert {name: what for name, what in large.items() if name not in EXCEPTIONS} == {}
    assert [name for name in EXCEPTIONS if name not in large] == [], "no exception any more"


def test_words_have_their_usual_sense(sources: dict[str, Path]) -> None:
    assert list(private_senses(sources.values())) == []


LARGE = "\n".join(f"    x = {number}" for number in range(MOST_LINES + 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"def f():\n{LARGE}\n", [("m.f", "41 lines of code, more than 40")]),
        (f'def f():\n    """Doc."""\n    # why\n\n{LARGE}\n'.replace("    x = 40", ""), []),
        ("def f(a, b, c, d, e, *, g): ...\n", [("m.f", "6 parameters, more than 5")]),
        ("class A:\n    def f(self, a, b, c, d, e): ...\n", []),
        ("@click.option('-a')\ndef f(a, b, c, d, e, g): ...\n", []),
        ("def f():\n    def g(a, b, c, d, e, h): ...\n", [("m.f.g", "6 parameters, more than 5")]),
        ("def entry(a, b, c, d, e, f, g, h, i): ...\n", []),
        ("def entry(a, b, c, d, e, f, g, h, i, j): ...\n", [("m.entry", "10 parameters, more than 9")]),
        (
            "class A:\n" + "".join(f"    def f{number}(self): ...\n" for number in range(16)),
            [("m.A", "16 public methods, more than 15")],
        ),
        ("class A:\n" + "".join(f"    def _f{number}(self): ...\n" for number in range(16)), []),
    ],
)
def test_what_is_too_large_is_found(text: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text(text)
    assert list(too_large({"m": file}, ["m.entry"])) == expected


def test_a_word_in_a_sense_of_our_own_is_found(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text("# The board told us.\n# Wholesale.\nerror = 'on The Way'\n")
    assert list(private_senses([file])) == [
        "m.py:1: # The board told us.",
        "m.py:3: error = 'on The Way'",
    ]
