"""Hypothesis strategies for random models.

Networks shrink towards one small linear model, models of a family towards its first kind on a few plain rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from rknn_harness.models.family import families, find_kind
from rknn_harness.models.kind import Kind
from rknn_harness.models.random_mlp import has_poisson
from rknn_harness.records.case import Case, family_case, random_case
from rknn_harness.records.specs import family_spec
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.records.specs.mlp_spec import ODDITIES, MlpSpec

# Around the hardware's grains: 8 channels an atom, 16 and 32 weights a group, and one before and behind each.
_EDGES = (1, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33)
_WIDE = (63, 64, 65, 100, 127, 128, 129, 255, 256, 257)
_LARGE = (511, 512, 513, 1000, 1023, 1024, 1025, 4096)

MACS = 600_000
"""Most multiply-adds of a row: a case with several wide layers takes a minute."""


def widths(large: bool = True) -> st.SearchStrategy[int]:
    """Widths of a layer: mostly the hardware's edges, sometimes large; shrinks to 1."""
    options = [st.sampled_from(_EDGES), st.sampled_from(_EDGES), st.integers(1, 64), st.sampled_from(_WIDE)]
    if large:
        options.append(st.sampled_from(_LARGE))
    return st.one_of(options)


def batch_sizes() -> st.SearchStrategy[tuple[int, ...]]:
    """Rows per run: one file mostly, sometimes two."""
    return st.sampled_from([(64,), (1,), (8,), (16,), (33,), (256,), (1, 64)])


def options(precision: str) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    """Options of the conversion: mostly the converter's own. What they choose is float16's alone."""
    others: list[tuple[tuple[str, str], ...]]
    others = [(("activation", "plain"),), (("accuracy", "double"),), (("form", "matmul"),)]
    usual: list[tuple[tuple[str, str], ...]] = [()]
    return st.sampled_from(usual * 5 + others if precision == "float16" else usual)


@st.composite
def specs(draw: st.DrawFn, *, extreme: bool = True) -> MlpSpec:
    """Random networks of one to eight layers, every task, activation and kind of label.

    Weights from what float16 loses to what it cannot hold, features over twelve decades, and layers that a
    fit may leave behind: dead units, constants, two outputs that are one; `extreme` False leaves these out.
    """
    tasks = ["regressor", "binary", "softmax", "multilabel", *(["poisson"] if has_poisson() else [])]
    task = draw(st.sampled_from(tasks))
    depth = draw(st.sampled_from([0, 1, 1, 2, 2, 3, 4, 5, 6, 7]))
    hidden = [draw(widths()) for _ in range(depth)]
    if task in ("binary", "poisson"):
        n_outputs = 1
    elif task == "regressor":
        n_outputs = draw(st.one_of(st.just(1), widths(large=False)))
    else:
        n_outputs = max(draw(widths(large=False)), 3 if task == "softmax" else 2)
    n_features, *hidden = _affordable([draw(widths()), *hidden], n_outputs)
    # exp of a large output is an infinity in scikit-learn too.
    ordinary = [1.0, 1.0, 0.5, 2.0, None]
    scales = ordinary if task == "poisson" or not extreme else [*ordinary, *ordinary, 1e-9, 1e-4, 1e2, 1e5]
    return MlpSpec(
        n_features=n_features,
        hidden=tuple(hidden),
        activation=draw(st.sampled_from(["identity", "relu", "tanh", "logistic"])),
        task=task,
        n_outputs=n_outputs,
        labels=draw(st.sampled_from(["int", "string", "bool"] if task == "binary" else ["int", "string"])),
        weight_scale=draw(st.sampled_from(scales)),
        rows=draw(st.integers(1, 150)),
        seed=draw(st.integers(0, 2**32 - 1)),
        decades=draw(st.sampled_from([0, 0, 0, 0, 1, 3, 6])) if extreme else 0,
        oddity=draw(st.sampled_from([ODDITIES[0]] * 5 + list(ODDITIES[1:]))) if extreme else "",
    )


def _affordable(widths: list[int], n_outputs: int) -> list[int]:
    """Narrow the second-widest layers until a row costs no more than `MACS`."""
    widths = [*widths, n_outputs]
    while sum(one * two for one, two in itertools.pairwise(widths)) > MACS:
        costs = [one * two for one, two in itertools.pairwise(widths)]
        first = costs.index(max(costs))
        inner = [place for place in (first, first + 1) if place < len(widths) - 1]
        place = min(inner, key=lambda place: widths[place])
        widths[place] = max(1, widths[place] // 8)
    return widths[:-1]


@st.composite
def cases(draw: st.DrawFn, *, precisions: tuple[str, ...], guard: bool = True) -> Case:
    """Random networks with a precision, a batch size and options, and no toolkit.

    Without the guard they are converted as the vendor's examples show, in float16, a row a run: see
    `rknn_harness.conformance.unguarded`.
    """
    spec = draw(specs())
    if not guard:
        return random_case(spec, "float16", "", (1,), (("guard", "off"),))
    precision = draw(st.sampled_from(precisions))
    return random_case(spec, precision, "", draw(batch_sizes()), draw(options(precision)))


def kinds_of(names: Sequence[str], precisions: Sequence[str]) -> Mapping[str, Sequence[Kind]]:
    """Return the kinds of each family named that have one of the precisions; no family without any."""
    wanted = set(precisions)
    kinds = {
        name: [kind for kind in families()[name].kinds.values() if wanted & set(kind.precisions)]
        for name in names
    }
    return {name: each for name, each in kinds.items() if each}


@st.composite
def family_specs(draw: st.DrawFn, kinds: Mapping[str, Sequence[Kind]]) -> FamilySpec:
    """Draw models of families: kinds and their parameters, sizes, and scales of columns."""
    name = draw(st.sampled_from(list(kinds)))
    chosen = draw(st.sampled_from(kinds[name]))
    least, most = chosen.features
    sizes = [each for each in (1, 2, 3, 4, 7, 8, 9, 16, 17, 33) if least <= each <= most]
    parameters = {name: draw(st.sampled_from(values)) for name, values in sorted(chosen.choices.items())}
    return FamilySpec(
        family=name,
        kind=chosen.name,
        parameters=tuple(parameters.items()),
        n_features=draw(st.sampled_from(sizes)),
        n_classes=draw(st.sampled_from([2, 3, 5])),
        fitted_rows=draw(st.sampled_from([60, 120, 240])),
        rows=draw(st.sampled_from([64, 16, 100])),
        labels=draw(st.sampled_from(["int", "string"])),
        decades=draw(st.sampled_from([0, 0, 0, 1, 2, 5])),
        target_decades=draw(st.sampled_from([0, 0, 2, -3])),
        oddity=draw(st.sampled_from([family_spec.ODDITIES[0]] * 5 + list(family_spec.ODDITIES[1:]))),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def family_cases(draw: st.DrawFn, kinds: Mapping[str, Sequence[Kind]], precisions: Sequence[str]) -> Case:
    """Models of families, in one of the precisions that each has, with a batch size and no toolkit."""
    spec, batch_size = draw(family_specs(kinds)), draw(batch_sizes())
    possible = [each for each in precisions if each in find_kind(spec).precisions]
    return family_case(spec, draw(st.sampled_from(possible)), "", batch_size)
