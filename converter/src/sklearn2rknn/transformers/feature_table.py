"""The features between two steps of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats
from scirknn.bundle import Affine
from scirknn.bundle.columns import Category, Coded, Columns, Input, Lookup, Missing, Number
from scirknn.steps.branches import Finite
from scirknn.steps.linear import Arithmetic, Dense, as_affine
from scirknn.steps.step import Step, width_after
from sklearn2rknn.network.ranges import Ranges


@attrs.frozen
class FilledText:
    """A column of X whose missing values are filled with text, for an encoder.

    Attributes
    ----------
    source : int
    missing : object
        NaN, None or a value.
    fill : object
    """

    source: int
    missing: Any
    fill: Any


@attrs.frozen(eq=False)
class Stage:
    """What the host computes of the features of a table.

    Attributes
    ----------
    table : FeatureTable
    steps : tuple of Step
    passes_nan : bool
        What is missing in the table is missing behind the steps too.
    level : int
        Greater than that of every stage in front of it.
    """

    table: FeatureTable
    steps: tuple[Step, ...]
    passes_nan: bool
    level: int


@attrs.frozen(eq=False)
class Computed:
    """A column that a stage computes: its result number `index`."""

    stage: Stage
    index: int


@attrs.frozen(eq=False)
class FeatureTable:
    """Features as a matrix times an affine map of columns that the host takes from X, or computes.

    What affine steps do to a single feature is kept in `columns`, `offset` and `scale`, in float64; only a
    step that mixes features makes a matrix. A step that is not affine makes a `Stage` of the table in front
    of it, and a new table of the stage's columns; `sklearn2rknn.transformers.prologue` brings them in order.

    Attributes
    ----------
    columns : tuple of Number, Missing, Category, Coded, FilledText or Computed
    lookups : tuple of Lookup
    offset, scale : numpy.ndarray of float64, shape (n_columns,)
        ``(v - offset) * scale``.
    weights : numpy.ndarray of float64, shape (n_columns, width), or None
        None where each feature is a column.
    bias : numpy.ndarray of float64, shape (width,), or None
    checked : frozenset of int
        Columns of X that are finite numbers wherever scikit-learn takes a row, though no feature holds them.
    is_exact : bool
        Scalers and matrices are steps of their own, in scikit-learn's order of operations and not folded
        into the map or the matrix, because what is behind them compares.
    ranges : Ranges
        What is known of the columns after their affine map, as a matrix or the network takes them.
    """

    columns: tuple[Column, ...]
    lookups: tuple[Lookup, ...]
    offset: Floats
    scale: Floats
    weights: Floats | None = None
    bias: Floats | None = None
    checked: frozenset[int] = frozenset()
    is_exact: bool = False
    ranges: Ranges = attrs.field(
        default=attrs.Factory(lambda self: Ranges.unknown(len(self.columns)), takes_self=True)
    )

    @classmethod
    def of_columns(cls, width: int, *, is_exact: bool = False) -> FeatureTable:
        """Return the columns of X themselves."""
        columns = tuple(Number(index) for index in range(width))
        return cls(columns, (), np.zeros(width), np.ones(width), is_exact=is_exact)

    @property
    def width(self) -> int:
        """How many features there are."""
        return len(self.columns) if self.weights is None else int(self.weights.shape[1])

    @property
    def is_raw(self) -> bool:
        """Whether the features are values of X, filled or looked up at most."""
        return self.weights is None and not self.offset.any() and bool((self.scale == 1).all())

    def select(self, indices: Sequence[int] | npt.NDArray[np.intp]) -> FeatureTable:
        """Return the features at `indices`, in that order."""
        chosen = [int(index) for index in indices]
        if self.weights is not None and self.bias is not None:
            return attrs.evolve(self, weights=self.weights[:, chosen], bias=self.bias[chosen])
        return attrs.evolve(
            self,
            columns=tuple(self.columns[index] for index in chosen),
            offset=self.offset[chosen],
            scale=self.scale[chosen],
            ranges=self.ranges.select(chosen),
        )

    def with_range(self, low: npt.ArrayLike, high: npt.ArrayLike, origin: str) -> FeatureTable:
        """Return the same features with the ranges that a step's statistics give."""
        if self.weights is not None:
            return self  # what a matrix gives is bounded through its columns
        least, greatest = (np.broadcast_to(np.asarray(end, np.float64), self.width) for end in (low, high))
        return attrs.evolve(self, ranges=self.ranges.intersect(least, greatest, origin))

    def map(self, offset: npt.ArrayLike, scale: npt.ArrayLike) -> FeatureTable:
        """Return ``(v - offset) * scale`` of each feature."""
        shift = np.broadcast_to(np.asarray(offset, dtype=np.float64), self.width)
        factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), self.width)
        if self.weights is not None and self.bias is not None:
            return attrs.evolve(self, weights=self.weights * factor, bias=(self.bias - shift) * factor)
        return attrs.evolve(
            self,
            offset=self.offset + shift / self.scale,
            scale=self.scale * factor,
            ranges=self.ranges.map(shift, factor),
        )

    def calculate(
        self, operation: str, operands: npt.ArrayLike, *, are_rounded: bool = False
    ) -> FeatureTable:
        """Return what `Arithmetic` makes of each feature."""
        constants = np.broadcast_to(np.asarray(operands, dtype=np.float64), self.width)
        offset, scale = as_affine(operation, constants)
        if not self.is_exact:
            return self.map(offset, scale)
        ranges = self.ranges.map(offset, scale) if self.weights is None else None
        return self.compute(Arithmetic(operation, constants, are_rounded), ranges=ranges, passes_nan=True)

    def mix(self, matrix: npt.ArrayLike, estimator: str) -> FeatureTable:
        """Return the features times `matrix`, shape (width, new width); `estimator` refuses NaN."""
        factor = np.asarray(matrix, dtype=np.float64)
        if self.is_exact:
            return self.compute(Finite(estimator, False), Dense(factor, np.zeros(factor.shape[1])))
        if self.weights is None or self.bias is None:
            return attrs.evolve(self, weights=factor, bias=np.zeros(factor.shape[1]))
        return attrs.evolve(self, weights=self.weights @ factor, bias=self.bias @ factor)

    def compute(self, *steps: Step, ranges: Ranges | None = None, passes_nan: bool = False) -> FeatureTable:
        """Return what steps compute of the features.

        Parameters
        ----------
        *steps : Step
        ranges : Ranges, optional
            What is known of their results.
        passes_nan : bool
            What is missing stays missing; other steps refuse it.
        """
        level = 1 + max((each.stage.level for each in self.columns if isinstance(each, Computed)), default=0)
        stage = Stage(self, steps, passes_nan, level)
        width = width_after(steps, self.width)
        return FeatureTable(
            columns=tuple(Computed(stage, index) for index in range(width)),
            lookups=(),
            offset=np.zeros(width),
            scale=np.ones(width),
            checked=self.checked if passes_nan else self.checked | self.plain_sources,
            is_exact=self.is_exact,
            ranges=Ranges.unknown(width) if ranges is None else ranges,
        )

    @property
    def plain_sources(self) -> frozenset[int]:
        """Columns of X that a column holds and that nothing fills."""
        return frozenset(
            column.source for column in self.columns if isinstance(column, Number) and column.missing is None
        )

    def affine(self) -> Affine | None:
        """Return the map from columns to the network's inputs; None for the identity."""
        if not self.offset.any() and (self.scale == 1).all():
            return None
        return Affine(self.offset, self.scale)

    def host_columns(
        self, n_features_in: int, *, by_name: bool, fills: bool = False, accepts_missing: bool = False
    ) -> Columns | None:
        """Return the columns as a bundle holds them; None for those of X.

        What is missing is passed on where steps behind fill it, or the model itself accepts it.
        """
        inputs = tuple(each for each in self.columns if not isinstance(each, (FilledText, Computed)))
        columns = Columns(n_features_in, inputs, self.lookups, tuple(sorted(self.checked)), by_name, True)
        if not (fills or accepts_missing):
            columns = refuse_missing(columns)
        same = inputs == tuple(Number(index) for index in range(n_features_in))
        if same and not (self.lookups or columns.checked or by_name or fills):
            return None
        return columns


def refuse_missing(columns: Columns) -> Columns:
    """Return columns that pass no NaN on: those that inputs take are checked with the inputs."""
    if not columns.passes_missing:
        return columns
    taken = {each.source for each in columns.inputs if isinstance(each, (Number, Missing))}
    checked = tuple(each for each in columns.checked if each not in taken)
    return replace(columns, checked=checked, passes_missing=False)


Column = Input | FilledText | Computed


ColumnKey = tuple[object, float, float]


def column_key(column: Column, offset: float, scale: float) -> ColumnKey:
    """Return what equals that of another column where both hold the same numbers."""
    # By its text, in which NaN equals NaN.
    own = (id(column.stage), column.index) if isinstance(column, Computed) else repr(column)
    return own, offset, scale


def join(tables: Sequence[FeatureTable]) -> FeatureTable:
    """Put the features of several tables of the same X side by side."""
    lookups = tuple(dict.fromkeys(lookup for table in tables for lookup in table.lookups))
    has_matrix = any(table.weights is not None for table in tables)
    chosen: list[tuple[Column, FeatureTable, int]] = []
    places: dict[ColumnKey, int] = {}
    blocks = []
    for table in tables:
        block = []
        for i, column in enumerate(table.columns):
            if isinstance(column, (Category, Coded)):
                column = replace(column, lookup=lookups.index(table.lookups[column.lookup]))
            key = column_key(column, float(table.offset[i]), float(table.scale[i]))
            # Where a matrix follows anyway, a column that two tables share is needed once.
            if not has_matrix or key not in places:
                places[key] = len(chosen)
                chosen.append((column, table, i))
            block.append(places[key])
        blocks.append(block)
    weights, bias = _join_matrices(tables, blocks, len(chosen)) if has_matrix else (None, None)
    return FeatureTable(
        columns=tuple(column for column, _, _ in chosen),
        lookups=lookups,
        offset=np.array([table.offset[i] for _, table, i in chosen]),
        scale=np.array([table.scale[i] for _, table, i in chosen]),
        weights=weights,
        bias=bias,
        checked=frozenset().union(*(table.checked for table in tables)),
        is_exact=any(table.is_exact for table in tables),
        ranges=Ranges.concatenate([table.ranges.select([i]) for _, table, i in chosen]),
    )


def _join_matrices(
    tables: Sequence[FeatureTable], blocks: Sequence[Sequence[int]], n_columns: int
) -> tuple[Floats, Floats]:
    """Return weights and bias of all tables, each on the columns of its block."""
    weights = np.zeros((n_columns, sum(table.width for table in tables)))
    bias = np.zeros(weights.shape[1])
    start = 0
    for table, block in zip(tables, blocks, strict=True):
        stop = start + table.width
        own = np.eye(table.width) if table.weights is None else table.weights
        np.add.at(weights[:, start:stop], list(block), own)
        bias[start:stop] = 0.0 if table.bias is None else table.bias
        start = stop
    return weights, bias
