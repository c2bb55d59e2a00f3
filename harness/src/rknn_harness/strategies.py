"""Hypothesis strategies for random networks; they shrink towards one small linear model."""

from __future__ import annotations

from hypothesis import strategies as st

from rknn_harness.case import Case, random_case
from rknn_harness.mlp_spec import MlpSpec, has_poisson

__all__ = ["batch_sizes", "cases", "specs", "widths"]

# Around the hardware's grains: 8 channels an atom, 16 and 32 weights a group, and one before and behind each.
_EDGES = (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33)
_WIDE = (63, 64, 65, 100, 127, 128, 129, 255, 256, 257)
_LARGE = (511, 512, 513, 1000, 1024)


def widths(large: bool = True) -> st.SearchStrategy[int]:
    """Widths of a layer: mostly the hardware's edges, sometimes large; shrinks to 1."""
    options = [st.sampled_from(_EDGES), st.sampled_from(_EDGES), st.integers(1, 64), st.sampled_from(_WIDE)]
    if large:
        options.append(st.sampled_from(_LARGE))
    return st.one_of(options)


def batch_sizes() -> st.SearchStrategy[tuple[int, ...]]:
    """Rows per run: one file mostly, sometimes two."""
    return st.sampled_from([(64,), (1,), (8,), (16,), (33,), (256,), (1, 64)])


@st.composite
def specs(draw: st.DrawFn) -> MlpSpec:
    """Random networks: no hidden layer to four of them, every task, activation and kind of label."""
    tasks = ["regressor", "binary", "softmax", "multilabel", *(["poisson"] if has_poisson() else [])]
    task = draw(st.sampled_from(tasks))
    depth = draw(st.sampled_from([0, 1, 1, 2, 2, 3, 4]))
    # Deep and wide at once costs minutes and tells no more than each alone.
    hidden = tuple(draw(widths(large=depth <= 2)) for _ in range(depth))
    if task in ("binary", "poisson"):
        n_outputs = 1
    elif task == "regressor":
        n_outputs = draw(st.one_of(st.just(1), widths(large=False)))
    else:
        n_outputs = max(draw(widths(large=False)), 3 if task == "softmax" else 2)
    return MlpSpec(
        n_features=draw(widths()),
        hidden=hidden,
        activation=draw(st.sampled_from(["identity", "relu", "tanh", "logistic"])),
        task=task,
        n_outputs=n_outputs,
        labels=draw(st.sampled_from(["int", "string", "bool"] if task == "binary" else ["int", "string"])),
        weight_scale=draw(st.sampled_from([1.0, 0.5, 2.0, None])),
        rows=draw(st.integers(1, 150)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def cases(draw: st.DrawFn, *, precisions: tuple[str, ...]) -> Case:
    """Random networks with a precision and a batch size, and no toolkit."""
    spec = draw(specs())
    return random_case(spec, draw(st.sampled_from(precisions)), "", draw(batch_sizes()))
