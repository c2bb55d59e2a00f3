"""Run seeded files of every kind and count where the executor and the vendor's simulator agree.

``python -m tests.virtual_npu_agreement.survey`` prints the tables of ``docs/virtual-npu-agreement.md``.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx

from sklearn2rknn.errors import ConversionError
from sklearn2rknn.toolkit.toolkit import Toolkit, open_toolkit
from tests.virtual_npu.reference import halfway_steps
from tests.virtual_npu_agreement.artifacts import (
    PRECISIONS,
    TOOLKITS,
    Array,
    Artifact,
    Form,
    build,
    onnx_bytes,
)
from virtual_npu import UnsupportedProgram, VirtualNpu, placement, read

COUNT = 40  # artifacts for each toolkit and precision
SAMPLES = (1, 8, 64, 256)
NOT_BUILT = "not built by the toolkit:"
CORES = {"rk3588": (1, 2, 3)}  # programs that are compared; one where there are no more or not all are read
LARGEST = 40_000_000  # products a run: what the simulator's order takes a second for


@dataclass(frozen=True)
class Finding:
    """What came out of one artifact.

    Attributes
    ----------
    refused : str
        Why it does not run; then there are no numbers.
    steps : ndarray of int
        Distance of each output from the simulator's, in float16's or the quantization's steps, in silicon's
        arithmetic.
    simulated_steps : ndarray of int
        The same in the simulator's arithmetic: its order of summation, and for integers its real scales.
    changed_steps : ndarray of int
        Distance between the two arithmetics on the same program: for integers without the real scales.
    distance : float
        Largest difference, in silicon's arithmetic.
    changed_distance : float
        Largest difference between the two arithmetics.
    same_on_all_cores : bool
    layers : frozenset of str
        Types of the file's layers.
    """

    artifact: Artifact
    refused: str
    steps: Array
    simulated_steps: Array
    changed_steps: Array
    distance: float
    changed_distance: float
    same_on_all_cores: bool
    layers: frozenset[str]

    @classmethod
    def without_numbers(
        cls, artifact: Artifact, refused: str, layers: frozenset[str] = frozenset()
    ) -> Finding:
        """Return what is known of a file that does not run."""
        none = np.zeros(0, np.int64)
        return cls(artifact, refused, none, none, none, 0.0, 0.0, True, layers)

    @property
    def kind(self) -> str:
        """What sets the file apart.

        ``"softmax"``; ``"lookup"`` where sigmoid or tanh is in it; ``"cut"`` where the toolkit made several
        layers of one, with a rounding between them that the simulator does not know; else ``"linear"``.
        """
        if self.artifact.last == "Softmax":
            return "softmax"
        if {self.artifact.hidden, self.artifact.last} & {"Tanh", "Sigmoid"}:
            return "lookup"
        return "cut" if self.layers & {"Mul", "Split"} else "linear"


def artifacts(toolkit: str, precision: str, count: int = COUNT) -> Iterator[Artifact]:
    """Draw networks: 1 to 6 layers, 1 to 4,096 wide, every form, head and number of samples in turn.

    In float16 two more, of one row through more than 2**19 weights.

    Left out is what the toolkits get wrong or do not build: int16 tanh and sigmoid (they never upload the
    table that the program looks up), int16 MatMul of one input (its Mul's constant is stored as int8 where
    the program reads int16), and one row through a ReLU of one unit, which may never fire.
    """
    rng = np.random.default_rng([TOOLKITS.index(toolkit), PRECISIONS.index(precision)])
    forms: tuple[Form, ...] = ("conv", "matmul")
    for i in range(count):
        samples = SAMPLES[i // 2 % 4]
        lookups = precision != "int16"
        hidden = ("Relu", "Relu", "Tanh", "Sigmoid")[i // 8 % 4] if lookups else "Relu"
        last = ("", "", "Softmax", "Sigmoid", "")[i % 5] if lookups else ""
        layers = 1 + i % 6
        while True:
            widths = tuple(int(2 ** rng.uniform(0, 12 if j else 12.01)) for j in range(layers + 1))
            widths = tuple(min(width, 4096) for width in widths)
            if last == "Softmax" and widths[-1] < 2:
                continue
            if 1 in widths[1:-1] and hidden == "Relu" and samples == 1:
                continue
            if 1 in widths[:-1] and precision == "int16" and forms[i % 2] == "matmul":
                continue
            if samples * sum(a * b for a, b in pairwise(widths)) <= LARGEST:
                break
        yield Artifact(
            toolkit, precision, forms[i % 2], widths, hidden, last, samples, int(rng.integers(1 << 31))
        )
    if precision == "float16":
        for form in forms:
            yield Artifact(toolkit, precision, form, (1189, 1107, 700), "Relu", "", 1, 1)


def examine(toolkit: Toolkit, artifact: Artifact) -> Finding:
    """Convert one network, run it on the virtual NPU, and compare with the simulator."""
    try:
        inputs, built = build(toolkit, artifact)
    except ConversionError as error:
        reason = f"{NOT_BUILT} {error}".splitlines()[0]
        return Finding.without_numbers(artifact, reason)
    file, simulated = read(built.rknn), built.simulated
    layers = frozenset(kind for _, kind, _ in placement(file))
    assert simulated is not None
    graph = onnx.load_from_string(onnx_bytes(artifact)).graph
    parameters = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    try:
        one, *others = (VirtualNpu(file, cores) for cores in CORES.get(artifact.platform, (1,)))
        ordered = VirtualNpu(file, arithmetic="simulator", parameters=parameters)
        program = ordered if artifact.precision == "float16" else VirtualNpu(file, arithmetic="simulator")
    except UnsupportedProgram as error:
        return Finding.without_numbers(artifact, str(error), layers)
    own = np.stack([one.run(x) for x in inputs])
    same = all(np.array_equal(npu.run(inputs[0]), own[0]) for npu in others)

    def steps(values: Array, others: Array) -> Array:
        scale = file.outputs[0].scale if file.outputs[0].dtype != "float16" else None
        if scale is None:
            return halfway_steps(values, others).ravel()
        counted: Array = np.abs(np.rint(values / scale) - np.rint(others / scale)).astype(np.int64)
        return counted.ravel()

    its = np.stack([ordered.run(x) for x in inputs])
    same_program = its if program is ordered else np.stack([program.run(x) for x in inputs])
    return Finding(
        artifact=artifact,
        refused="",
        steps=steps(own, simulated),
        simulated_steps=steps(its, simulated),
        changed_steps=steps(own, same_program),
        distance=float(np.abs(own - simulated).max()),
        changed_distance=float(np.abs(own - same_program).max()),
        same_on_all_cores=same,
        layers=layers,
    )


def table(findings: Iterable[Finding]) -> str:
    """Give the findings by toolkit, precision, form and kind, in Markdown."""
    rows = defaultdict(list)
    for finding in findings:
        artifact = finding.artifact
        rows[artifact.toolkit, artifact.precision, artifact.form, finding.kind].append(finding)
    lines = [
        "| toolkit | precision | form | kind | files | refused | values | equal | within a step | most steps "
        "| largest difference | equal, simulator's arithmetic | most steps, simulator's arithmetic |",
        "|---" * 13 + "|",
    ]
    for key, found in sorted(rows.items()):
        ran = [finding for finding in found if not finding.refused]
        cells = [*key, str(len(found)), str(len(found) - len(ran))]
        if ran:
            steps = np.concatenate([finding.steps for finding in ran])
            its = np.concatenate([finding.simulated_steps for finding in ran])
            cells += [
                f"{len(steps):,}",
                f"{100 * np.mean(steps == 0):.2f} %",
                f"{100 * np.mean(steps <= 1):.2f} %",
                str(steps.max()),
                f"{max(finding.distance for finding in ran):.2g}",
                _share(its),
                str(its.max()),
            ]
        else:
            cells += ["-"] * 7
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def changes(findings: Iterable[Finding]) -> str:
    """Give what silicon's arithmetic changes, by precision, form and kind, in Markdown."""
    rows = defaultdict(list)
    for finding in findings:
        if not finding.refused:
            rows[finding.artifact.precision, finding.artifact.form, finding.kind].append(finding)
    lines = [
        "| precision | form | kind | files | files changed | values | values changed | most steps "
        "| largest difference |",
        "|---" * 9 + "|",
    ]
    for key, found in sorted(rows.items()):
        steps = np.concatenate([finding.changed_steps for finding in found])
        cells = [
            *key,
            str(len(found)),
            str(sum(bool(finding.changed_steps.any()) for finding in found)),
            f"{len(steps):,}",
            f"{100 * np.mean(steps != 0):.3f} %",
            str(steps.max()),
            f"{max(finding.changed_distance for finding in found):.2g}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _share(steps: Array) -> str:
    """Give the share of values that are equal, and how many are not where they are few."""
    different = int(np.count_nonzero(steps))
    share = f"{100 * np.mean(steps == 0):.2f} %"
    return f"all but {different}" if 0 < different < 1e-3 * len(steps) else share


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--toolkit", nargs="*", default=TOOLKITS)
    options = parser.parse_args()
    findings = []
    for version in options.toolkit:
        with open_toolkit(version) as toolkit:
            for precision in PRECISIONS:
                findings += [examine(toolkit, a) for a in artifacts(version, precision, options.count)]
    print(table(findings), changes(findings), sep="\n\n")
    refused = sorted({finding.refused for finding in findings if finding.refused})
    print(f"\n{len(findings)} files.", *refused, sep="\n- ")


if __name__ == "__main__":
    main()
