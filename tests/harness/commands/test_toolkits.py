"""``rknn-harness toolkits`` on a machine without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rknn_harness.commands.cli import main
from sklearn2rknn.errors import NetworkError
from sklearn2rknn.toolkit.containers.image import Image, build_image
from sklearn2rknn.toolkit.verification import Finding


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))


def toolkits(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["toolkits", *arguments])


def test_list_tells_every_version() -> None:
    result = toolkits("list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines() if line[:1].isdigit()}
    assert list(rows) == ["1.5.0", "1.5.2", "1.6.0", "2.0.0", "2.1.0", "2.2.0", "2.3.0", "2.3.2", "2.5.0"]
    assert "softmax-cpu" in rows["1.5.0"]
    assert "not run" in rows["1.5.0"]
    assert "not run" not in rows["2.3.2"]
    assert "no engine" in rows["2.3.2"]


def test_build_without_an_engine_says_how_to_start_one() -> None:
    result = toolkits("build", "2.3.2")
    assert result.exit_code == 3
    assert "containers/engine start" in result.output


def test_build_1_5_0_without_its_wheel_says_where_it_is() -> None:
    result = toolkits("build", "1.5.0")
    assert result.exit_code == 3
    for part in (
        "packages/rknn_toolkit2-1.5.0+1fa95b5c-cp310-cp310-linux_x86_64.whl",
        "https://github.com/rockchip-linux/rknn-toolkit2",
        "branch v1.5.0",
        "commit d333c7d9d05b2cf8fc4605f395a184b3bd6bd2f5",
        "git blob ec1fa4d0d899d73aa0100694fbf6b903f4a300ed",
    ):
        assert part in result.output


@pytest.mark.parametrize("command", ["build", "make"])
def test_another_wheel_is_refused_before_anything_is_made(tmp_path: Path, command: str) -> None:
    wheel = tmp_path / "rknn_toolkit2-1.5.0+1fa95b5c-cp310-cp310-linux_x86_64.whl"
    wheel.write_bytes(b"another")
    result = toolkits(command, "1.5.0", "--wheel", str(wheel))
    assert result.exit_code == 3
    assert "git blob id" in result.output
    assert not (tmp_path / "cache" / "wheels").exists()


def test_a_version_of_an_index_takes_no_wheel(tmp_path: Path) -> None:
    assert toolkits("build", "2.3.2", "--wheel", str(tmp_path)).exit_code == 2


@pytest.mark.parametrize("arguments", [(), ("2.3.2", "--all"), ("9.9",)])
def test_usage_errors(arguments: tuple[str, ...]) -> None:
    assert toolkits("build", *arguments).exit_code == 2


def test_build_all_leaves_out_what_has_no_wheel_and_tells_what_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(version: str, **options: object) -> Image:
        if version.startswith("1"):
            return build_image(version)
        if version == "2.5.0":
            raise NetworkError("no network")
        return Image(version, "sha256:1", "", 700_000_000)

    monkeypatch.setattr("sklearn2rknn.toolkit.containers.image.build_image", build)
    result = toolkits("build", "--all")
    assert result.exit_code == 3
    assert "1.5.0: left out. Toolkit 1.5.0 is on no package index" in result.output
    assert "2.0.0: sha256:1 (700 MB, not run by the project yet)" in result.output
    assert "2.3.2: sha256:1 (700 MB)" in result.output
    assert "2.5.0: no network" in result.output


def test_verify_exits_with_1_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert toolkits("verify").exit_code == 0
    monkeypatch.setattr(
        "sklearn2rknn.toolkit.verification.verify",
        lambda version: [Finding("lock 2.3.2", False, "it was changed")],
    )
    result = toolkits("verify", "2.3.2")
    assert result.exit_code == 1
    assert "it was changed" in result.output


def test_remove_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    whole = tmp_path / "cache" / "toolkit-2.3.2-py3.11-0123456789ab"
    half = tmp_path / "cache" / "toolkit-2.3.2-py3.11-ba9876543210"
    other = tmp_path / "cache" / "toolkit-2.3.0-py3.11-0123456789ab"
    for folder in (whole, half, other):
        (folder / "bin").mkdir(parents=True)
    (whole / "complete").write_text("")
    result = toolkits("remove", "2.3.2")
    assert result.output.split() == [str(whole), str(half)]
    assert not whole.exists()
    assert not half.exists()
    assert other.exists()
    assert toolkits("remove", "2.3.2").output == "there was none\n"


def test_base_for_another_python_needs_an_interpreter(tmp_path: Path) -> None:
    result = toolkits("base", "--python", "3.10")
    assert result.exit_code == 3
    assert "--interpreter" in result.output
    result = toolkits("base", "--python", "3.10", "--interpreter", str(tmp_path))
    assert "has no bin/python3.10" in result.output
