"""Run files for other chips than the RK3588 and count where the executor and the vendor's simulator agree.

``python -m tests.virtual_npu_agreement.chips`` prints the table in ``docs/virtual-npu-agreement.md``.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from sklearn2rknn.toolkit.toolkit import open_toolkit
from tests.virtual_npu_agreement.artifacts import PRECISIONS, TOOLKITS, Artifact, Form
from tests.virtual_npu_agreement.survey import Finding, examine

PLATFORMS = ("rk3562", "rk3566", "rk3568", "rk3576")
# form, widths, hidden, last, samples
NETWORKS: tuple[tuple[Form, tuple[int, ...], str, str, int], ...] = (
    ("conv", (64, 40, 10), "Relu", "", 1),
    ("conv", (64, 70, 33, 10), "Relu", "", 16),
    ("conv", (8, 1, 3, 7, 33, 1), "Relu", "", 16),
    ("conv", (32, 40, 10), "Relu", "", 512),
    ("matmul", (64, 40, 10), "Relu", "", 8),
    ("conv", (30, 50, 50, 3), "Tanh", "", 7),
    ("conv", (64, 40, 10), "Sigmoid", "Sigmoid", 1),
    ("conv", (32, 40, 10), "Tanh", "", 512),
    ("matmul", (64, 40, 10), "Tanh", "", 8),
    ("conv", (32, 24, 10), "Refined", "", 16),
    ("conv", (64, 32, 10), "Relu", "Softmax", 16),
    ("conv", (3, 8, 3), "Relu", "", 16),
)


def artifacts(toolkit: str, platform: str, precision: str) -> Iterator[Artifact]:
    """Give each network, as one chip is to have it."""
    for form, widths, hidden, last, samples in NETWORKS:
        yield Artifact(toolkit, precision, form, widths, hidden, last, samples, 1, platform)


def _kind(artifact: Artifact) -> str:
    lookup = {artifact.hidden, artifact.last} & {"Tanh", "Sigmoid"}
    return "softmax" if artifact.last == "Softmax" else "lookup" if lookup else "linear"


def kind(artifact: Artifact) -> str:
    """What the chips take differently."""
    if artifact.widths[0] < 8:
        return "image input"
    return "refined tanh" if artifact.hidden == "Refined" else _kind(artifact)


def table(findings: list[Finding]) -> str:
    """Give the findings by chip, precision and kind, in Markdown."""
    rows = defaultdict(list)
    for finding in findings:
        rows[finding.artifact.platform, finding.artifact.precision, kind(finding.artifact)].append(finding)
    lines = [
        "| chip | precision | kind | files | run | values | equal | within a step | largest difference |"
    ]
    lines.append("|---" * 9 + "|")
    for key, found in sorted(rows.items()):
        ran = [finding for finding in found if not finding.refused]
        cells = [*key, str(len(found)), str(len(ran)), *["-"] * 4]
        if ran:
            # The simulator's order of summation: what an RK3588's files are compared in too.
            steps = np.concatenate([finding.simulated_steps for finding in ran])
            cells[5:] = [
                f"{len(steps):,}",
                f"{100 * np.mean(steps == 0):.2f} %",
                f"{100 * np.mean(steps <= 1):.2f} %",
                f"{max(finding.distance for finding in ran):.2g}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toolkit", nargs="*", default=TOOLKITS)
    options = parser.parse_args()
    findings = []
    for version in options.toolkit:
        with open_toolkit(version) as toolkit:
            findings += [
                examine(toolkit, artifact)
                for platform in PLATFORMS
                for precision in PRECISIONS
                for artifact in artifacts(version, platform, precision)
            ]
    print(table(findings))
    refused = {(f.artifact.platform, kind(f.artifact), f.refused) for f in findings if f.refused}
    print(*(" / ".join(reason) for reason in sorted(refused)), sep="\n- ")


if __name__ == "__main__":
    main()
