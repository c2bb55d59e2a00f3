"""Converted regressors."""

from __future__ import annotations

from scirknn.estimators.methods import Methods


class Regressor(Methods):
    """A converted regressor.

    Parameters, attributes and errors are those of `Classifier`, without ``classes_``.
    """

    _tasks = ("regressor",)


MLPRegressor = Regressor
"""The name of before."""
