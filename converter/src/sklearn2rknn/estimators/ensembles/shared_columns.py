"""Columns of X that all members of an ensemble impute or encode alike: they stand in front of it."""

from __future__ import annotations

from collections.abc import Sequence

from scirknn.bundle.columns import Columns
from scirknn.steps.gaps import Fill, Gaps
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.network.network import Network
from sklearn2rknn.transformers.feature_table import refuse_missing


def shared_columns(
    name: str, networks: Sequence[Network], *, take_all_of_x: bool
) -> tuple[Columns | None, str | None]:
    """Return the columns that all members take, and the class that meets X first.

    Parameters
    ----------
    name : str
        Class of the ensemble.
    networks : sequence of Network
        Of the members.
    take_all_of_x : bool
        Whether each member takes all columns of X, and nothing else takes X.

    Raises
    ------
    UnsupportedModelError
        Members impute or encode columns, but not alike.
    """
    given = [each.columns for each in networks]
    first = next((each for each in networks if each.columns is not None), None)
    if first is None:
        return None, None
    steps = [step for each in networks for step in (*each.features, *each.epilogue)]
    fills = any(isinstance(step, (Fill, Gaps)) for step in steps)
    if not all(each is not None and each.passes_missing for each in given):
        given = [None if each is None else refuse_missing(each) for each in given]
    # By their text, in which NaN equals NaN.
    are_alike = len({repr(each) for each in given}) == 1
    if not are_alike or not take_all_of_x or fills:
        raise UnsupportedModelError(
            f"The members of {name} do not share the columns that {first.first_step} imputes or encodes. Put "
            f"these steps in front: make_pipeline(steps, {name}(...)), and fit again."
        )
    return given[0], first.first_step
