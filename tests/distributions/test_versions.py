"""The four distributions have one version, need each other in it, and the changelog begins with it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import rknn_harness
import scirknn
import virtual_npu
from tests.wheels import DISTRIBUTIONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECTS: dict[str, dict[str, Any]] = {
    name: tomllib.loads((ROOT / name / "pyproject.toml").read_text("utf-8"))["project"]
    for name in DISTRIBUTIONS
}
VERSION = PROJECTS["harness"]["version"]


@pytest.mark.parametrize("project", PROJECTS.values(), ids=list(PROJECTS))
def test_a_distribution_has_the_one_version_and_needs_the_others_in_it(project: dict[str, Any]) -> None:
    assert project["version"] == VERSION
    extras = project.get("optional-dependencies", {}).values()
    names = "|".join(other["name"] for other in PROJECTS.values())
    for requirement in [*project["dependencies"], *(each for extra in extras for each in extra)]:
        if re.match(rf"({names})\b", requirement):
            assert requirement.endswith(f"=={VERSION}"), requirement


@pytest.mark.parametrize(
    "package", [rknn_harness, scirknn, virtual_npu], ids=lambda package: package.__name__
)
def test_a_package_knows_the_one_version(package: Any) -> None:
    assert package.__version__ == VERSION


def test_the_changelog_begins_with_the_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == VERSION


def test_the_lowest_versions_that_are_tried_are_those_that_the_host_packages_promise() -> None:
    promised = set()
    for project in (PROJECTS["virtual_npu"], PROJECTS["converter"], PROJECTS["harness"]):
        texts = [*project["dependencies"], *project.get("optional-dependencies", {}).get("container", ())]
        needs = [each for each in map(Requirement, texts) if each.marker is None]
        promised |= {f"{each.name}{each.specifier}" for each in needs if ">=" in str(each.specifier)}
    lines = (ROOT / "tests" / "lowest.txt").read_text("utf-8").splitlines()
    assert {line.replace("==", ">=") for line in lines if not line.startswith("#")} == promised


@pytest.mark.parametrize("project", PROJECTS.values(), ids=list(PROJECTS))
def test_the_classifiers_are_the_pythons_that_are_tested(project: dict[str, Any]) -> None:
    oldest = 8 if project["name"] == "scirknn" else 10
    assert project["requires-python"] == f">=3.{oldest}"
    versions = [each.rpartition(" ")[2] for each in project["classifiers"] if "Python" in each]
    assert versions == [f"3.{minor}" for minor in range(oldest, 14)]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_carries_the_licence(name: str) -> None:
    """As a copy, because a link in a source archive leads nowhere."""
    assert (ROOT / name / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")
    assert not (ROOT / name / "LICENSE").is_symlink()
