"""The whole path of toolkit 1.5.0, walked with a stand-in wheel: the vendor's own was not to be had.

The stand-in has the vendor's file name and carries a fake ``rknn``; the table's blob id is replaced by its
own. The rest is real: the cp310 wheels of the lock, the Dockerfile, the container. 1.5.0 itself is not run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.neural_network import MLPClassifier

import sklearn2rknn
from rknn_harness.commands.cli import main
from sklearn2rknn import OptionError, open_toolkit
from sklearn2rknn.errors import WheelError
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.network.onnx_graph import onnx_from_network
from sklearn2rknn.toolkit.containers import image as toolkit_image
from sklearn2rknn.toolkit.containers.base_image import make_base_image
from sklearn2rknn.toolkit.containers.image import base_tag, find_image, remove_image
from sklearn2rknn.toolkit.pins import lock, versions
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from sklearn2rknn.toolkit.pins.wheel import git_blob_id, kept_wheel
from tests.container.conftest import FAKE

if TYPE_CHECKING:
    import docker

NAME = "rknn_toolkit2-1.5.0+1fa95b5c-cp310-cp310-linux_x86_64.whl"
VENDORS_BLOB = "ec1fa4d0d899d73aa0100694fbf6b903f4a300ed"
VENDORS_MD5 = "97d96fd25f537da3acc3a6adc4dbe2f4"


@pytest.fixture(scope="module")
def base(engine: docker.DockerClient) -> str:
    """A base image with Python 3.10: the engine's own, or one made from this machine's CPython."""
    if engine.images.list(base_tag("3.10")):
        return base_tag("3.10")
    if not engine.images.list(base_tag("3.11")):
        pytest.skip(f"needs {base_tag('3.11')} to add Python 3.10 to: rknn-harness toolkits base")
    said = (
        subprocess.run(
            ["python3.10", "-c", "import sys; print(sys.base_prefix)"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYENV_VERSION": "3.10"},
        )
        if shutil.which("python3.10")
        else None
    )
    prefix = Path(said.stdout.strip()) if said and said.returncode == 0 else None
    if prefix is None or prefix == Path("/usr"):
        pytest.skip("needs a CPython 3.10 on the PATH in a folder of its own, to make a base image from")
    return make_base_image("3.10", prefix)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path, information = tmp_path / NAME, "rknn_toolkit2-1.5.0+1fa95b5c.dist-info"
    files = {f"rknn/{file.name}": file.read_text() for file in (FAKE / "rknn").glob("*.py")}
    files[f"{information}/METADATA"] = "Metadata-Version: 2.1\nName: rknn-toolkit2\nVersion: 1.5.0+1fa95b5c\n"
    files[f"{information}/WHEEL"] = (
        "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp310-cp310-linux_x86_64\n"
    )
    files[f"{information}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{information}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def expected(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table with the stand-in's digests in place of the vendor's."""
    folder = tmp_path / "toolkits"
    shutil.copytree(versions.TOOLKITS, folder)
    table = (folder / "versions.toml").read_text()
    assert VENDORS_BLOB in table
    table = table.replace(VENDORS_BLOB, git_blob_id(wheel)).replace(f'md5 = "{VENDORS_MD5}"\n', "")
    (folder / "versions.toml").write_text(table)
    for module in (versions, lock, toolkit_image):
        monkeypatch.setattr(module, "TOOLKITS", folder)
    versions._table.cache_clear()
    yield
    versions._table.cache_clear()


def test_the_stand_in_is_not_the_vendors_file(wheel: Path) -> None:
    result = CliRunner().invoke(main, ["toolkits", "build", "1.5.0", "--wheel", str(wheel)])
    assert result.exit_code == 3
    assert VENDORS_BLOB in result.output


def test_the_path_is_walked(
    base: str,
    wheel: Path,
    expected: None,
    engine: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = CliRunner().invoke(
        main, ["toolkits", "build", "1.5.0", "--wheel", str(wheel)], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert "not run by the project" in result.output
    entry = toolkit_version("1.5.0")
    kept = kept_wheel(entry, "3.10")
    try:
        image = find_image("1.5.0", engine)
        source = engine.images.get(image.id).labels["sklearn2rknn.source"]
        assert source.split() == [entry.wheel.repository, entry.wheel.commit, NAME]
        estimator = MLPClassifier((4,), max_iter=1).fit(np.eye(6), np.arange(6) % 3)
        graph = onnx_from_network(network_from_estimator(estimator), 1)
        assert max(each.version for each in graph.opset_import) <= entry.opset_ceiling
        assert {node.op_type for node in graph.graph.node} <= {"Conv", "Relu"}  # Softmax is the host's
        with open_toolkit("1.5.0@container") as toolkit:
            assert toolkit.environment.kind == "container"
            built = toolkit.build(
                graph.SerializeToString(), config={"custom_string": "modules", **entry.config["int8"]}
            )
        seen = json.loads(built.rknn)
        # What the lock pins is what a job imports, under the Python that the wheel is for.
        assert seen["python"] == "3.10"
        assert seen["versions"] == {
            "numpy": "1.23.4",
            "onnx": "1.13.1",
            "onnxruntime": "1.14.1",
            "cv2": "4.5.5",
            "scipy": "1.9.3",
            "torch": "0.0.0",
        }
        assert seen["options"]["quantized_dtype"] == "asymmetric_quantized-8"
    finally:
        remove_image("1.5.0")
        kept.unlink()


def test_what_1_5_0_cannot_do_is_refused(tmp_path: Path) -> None:
    estimator = MLPClassifier((4,), max_iter=1).fit(np.eye(6), np.arange(6) % 3)
    with pytest.raises(OptionError, match="float16, int8"):
        sklearn2rknn.convert(
            estimator, tmp_path / "m.rknn", precision="int16", example_input=np.eye(6), toolkit="1.5.0"
        )
    with pytest.raises(OptionError, match="rk3588"):
        sklearn2rknn.convert(estimator, tmp_path / "m.rknn", "rk3576", toolkit="1.5.0")


def test_without_the_wheel_it_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    estimator = MLPClassifier((4,), max_iter=1).fit(np.eye(6), np.arange(6) % 3)
    monkeypatch.setattr("sklearn2rknn.toolkit.venv._find_python", lambda entry: ("python", "3.10"))
    with pytest.raises(WheelError, match=VENDORS_BLOB):
        sklearn2rknn.convert(estimator, tmp_path / "m.rknn", toolkit="1.5.0")
