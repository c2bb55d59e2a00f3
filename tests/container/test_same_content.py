"""The same models from the virtual environment and from the container: the same content, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
import numpy as np
import numpy.typing as npt
import pytest

import virtual_npu
from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.records.specs.mlp_spec import MlpSpec
from sklearn2rknn import Toolkit, open_toolkit
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.network.onnx_graph import input_channels, onnx_from_network, pack
from sklearn2rknn.passes.prepare_network import prepare_network
from sklearn2rknn.toolkit.containers.image import image_python
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from sklearn2rknn.toolkit.venv import ensure_environment
from tests.container.conftest import image_or_skip
from tests.harness.common_models import common_models

if TYPE_CHECKING:
    import docker

MODELS = common_models(20)
SAMPLES = 8


@attrs.frozen
class Pair:
    """One version in both kinds of environment."""

    venv: Toolkit
    container: Toolkit


@pytest.fixture(scope="module", params=["2.3.2", "2.5.0"])
def pair(engine: docker.DockerClient, request: pytest.FixtureRequest) -> Iterator[Pair]:
    version = request.param
    image_or_skip(version, engine)
    # Another Python would be another environment: its numpy, for one, is another build.
    python = image_python(toolkit_version(version))
    if f"-py{python}-" not in ensure_environment(version).path.name:
        pytest.skip(f"the image has Python {python}: run these tests with it")
    with open_toolkit(f"{version}@venv") as venv, open_toolkit(f"{version}@container") as container:
        yield Pair(venv, container)


def job(
    spec: MlpSpec, precision: str, version: str
) -> tuple[bytes, dict[str, object], npt.NDArray[np.float32]]:
    """Return what a conversion of `spec` hands to the toolkit: graph, options and calibration."""
    rows = build_rows(spec)
    network = prepare_network(network_from_estimator(build_estimator(spec)), rows, precision)
    graph = onnx_from_network(network, SAMPLES).SerializeToString(deterministic=True)
    config = {"target_platform": "rk3588", **toolkit_version(version).config[precision]}
    return graph, config, pack(network.prepare(rows), input_channels(network), SAMPLES)


@pytest.mark.parametrize("precision", ["float16", "int8", "int16"])
def test_the_same_content(pair: Pair, precision: str) -> None:
    assert (pair.venv.environment.kind, pair.container.environment.kind) == ("venv", "container")
    different = []
    for spec in MODELS:
        graph, config, calibration = job(spec, precision, pair.venv.version)
        digests = {
            virtual_npu.content_digest(
                virtual_npu.read(
                    toolkit.build(
                        graph, config=config, calibration=None if precision == "float16" else calibration
                    ).rknn
                )
            )
            for toolkit in (pair.venv, pair.container)
        }
        if len(digests) != 1:
            different.append(spec)
    assert different == []
