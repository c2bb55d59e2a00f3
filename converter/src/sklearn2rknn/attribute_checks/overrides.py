"""Subclasses and instances that predict by methods of their own."""

from __future__ import annotations

from typing import Any

from sklearn2rknn.errors import UnsupportedModelError

_METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "_predict", "_forward_pass",
    "_forward_pass_fast", "__getattribute__", "__getattr__",
)  # fmt: skip


def refuse_overrides(estimator: Any, base: type) -> None:
    """Refuse an estimator that does not predict by the methods of scikit-learn's class `base`.

    A subclass that changes ``__init__`` or ``fit`` only predicts from its weights as `base` does.

    Raises
    ------
    UnsupportedModelError
        The text names the methods.
    """
    kind = type(estimator)
    changed = [
        name for name in _METHODS if name in vars(estimator) or _method(kind, name) is not _method(base, name)
    ]
    if changed:
        own = base.__name__ if kind.__name__ != base.__name__ else f"scikit-learn's {base.__name__}"
        raise UnsupportedModelError(
            f"{kind.__name__} has its own {', '.join(changed)}, so that its weights alone do not determine "
            f"its predictions. Convert them as {own} (plain = {base.__name__}(); plain.__dict__.update("
            "model.__dict__)), and apply what is added to the predictions on the board."
        )


def _method(kind: type, name: str) -> Any:
    """Return what a class has under a name, and run none of its code; None where it has nothing."""
    return next((vars(each)[name] for each in kind.__mro__ if name in vars(each)), None)
