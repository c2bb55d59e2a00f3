"""What the host computes in front of the layers, in order: columns of X, an affine map, then steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import attrs
import numpy as np

from scirknn.bundle.columns import Category, Coded, Lookup
from scirknn.steps.branches import Branch
from scirknn.steps.gaps import Fill, Gaps
from scirknn.steps.linear import Dense, Scale
from scirknn.steps.step import Step, width_after
from sklearn2rknn.network.ranges import Ranges
from sklearn2rknn.transformers.feature_table import (
    Column,
    ColumnKey,
    Computed,
    FeatureTable,
    Stage,
    column_key,
)

Wire = tuple[int, int]
"""One number of a row: the place of a leaf and -1, or the id of a stage and the place of its result."""


def in_order(table: FeatureTable) -> tuple[FeatureTable, tuple[Step, ...]]:
    """Return a table of columns of X alone, and the steps from it to the columns of `table`.

    The steps end in front of the matrix of `table`. Without a stage these are the table itself and no steps.
    """
    stages = _stages(table)
    if not stages:
        return table, ()
    leaves = _Leaves()
    taken = [leaves.wires(each) for each in (*(stage.table for stage in stages), table)]
    last_use = {wire: number for number, some in enumerate(taken) for wire in some}
    wires: list[Wire] = [(place, -1) for place in range(len(leaves.columns))]
    steps: list[Step] = []
    for number, stage in enumerate(stages):
        kept = [wire for wire in wires if last_use.get(wire, -1) > number]
        steps += _branch(wires, kept, taken[number], (*_maps(stage.table), *stage.steps))
        outputs = width_after(stage.steps, stage.table.width)
        wires = kept + [(id(stage), index) for index in range(outputs)]
    steps += _branch(wires, [], taken[-1], _maps(attrs.evolve(table, weights=None, bias=None)))
    inputs = FeatureTable(
        columns=tuple(leaves.columns),
        lookups=tuple(leaves.lookups),
        offset=np.array(leaves.offsets),
        scale=np.array(leaves.scales),
        checked=table.checked,
        ranges=Ranges.unknown(len(leaves.columns)),
    )
    return inputs, tuple(steps)


def jumps_behind(table: FeatureTable) -> bool:
    """Whether a stage that a table needs compares or cuts off what it is given."""
    return any(step.jumps for stage in _stages(table) for step in stage.steps)


def fills_behind(table: FeatureTable) -> bool:
    """Whether a stage that a table needs fills or finds what is missing, so that NaN has to reach it."""
    return any(isinstance(step, (Fill, Gaps)) for stage in _stages(table) for step in stage.steps)


def _stages(table: FeatureTable) -> list[Stage]:
    """Return the stages that a table needs, each once and behind those it needs itself."""
    stages: dict[int, Stage] = {}
    waiting = [table]
    while waiting:
        for column in waiting.pop().columns:
            if isinstance(column, Computed) and id(column.stage) not in stages:
                stages[id(column.stage)] = column.stage
                waiting.append(column.stage.table)
    return sorted(stages.values(), key=lambda stage: stage.level)


@attrs.define(eq=False)
class _Leaves:
    """The columns of X that several tables take, each once with its affine map."""

    columns: list[Column] = attrs.field(factory=list)
    offsets: list[float] = attrs.field(factory=list)
    scales: list[float] = attrs.field(factory=list)
    lookups: dict[Lookup, int] = attrs.field(factory=dict)
    places: dict[ColumnKey, int] = attrs.field(factory=dict)

    def _place(self, table: FeatureTable, index: int, column: Column) -> int:
        if isinstance(column, (Category, Coded)):
            lookup = table.lookups[column.lookup]
            column = replace(column, lookup=self.lookups.setdefault(lookup, len(self.lookups)))
        offset, scale = float(table.offset[index]), float(table.scale[index])
        key = column_key(column, offset, scale)
        if key not in self.places:
            self.places[key] = len(self.columns)
            self.columns.append(column)
            self.offsets.append(offset)
            self.scales.append(scale)
        return self.places[key]

    def wires(self, table: FeatureTable) -> list[Wire]:
        """Return what the columns of a table are; those of X get a place at first sight."""
        return [
            (id(column.stage), column.index)
            if isinstance(column, Computed)
            else (self._place(table, index, column), -1)
            for index, column in enumerate(table.columns)
        ]


def _maps(table: FeatureTable) -> tuple[Step, ...]:
    """Return the affine map of a table's computed columns, and its matrix."""
    is_computed = np.array([isinstance(each, Computed) for each in table.columns])
    offset, scale = np.where(is_computed, table.offset, 0.0), np.where(is_computed, table.scale, 1.0)
    steps: tuple[Step, ...] = ()
    if offset.any() or (scale != 1).any():
        steps = (Scale(offset, scale),)
    if table.weights is not None and table.bias is not None:
        steps = (*steps, Dense(table.weights, table.bias))
    return steps


def _branch(
    wires: Sequence[Wire], kept: Sequence[Wire], taken: Sequence[Wire], steps: tuple[Step, ...]
) -> tuple[Step, ...]:
    """Return steps of some wires beside others, as they are where no others are left."""
    if not kept and list(taken) == list(wires):
        return steps
    place = {wire: index for index, wire in enumerate(wires)}
    kept_places, taken_places = (
        np.array([place[each] for each in some], dtype=np.int64) for some in (kept, taken)
    )
    return (Branch(kept_places, taken_places, steps),)
