"""What MLflow's loader needs of a ``loader_module``.

``mlflow.pyfunc.save_model(path, loader_module="scirknn.mlflow", data_path=FOLDER)`` saves a bundle for it.
"""

from pathlib import Path
from typing import Any, Dict, Optional

from scirknn.errors import BundleNotFoundError
from scirknn.estimators.load import load
from scirknn.estimators.methods import Methods

__all__ = ["PyfuncModel"]


class PyfuncModel:
    """A loaded bundle with the methods that MLflow calls.

    Parameters
    ----------
    path : str
        A folder that holds one bundle, as MLflow copied it.

    Raises
    ------
    BundleNotFoundError
        The folder holds no bundle, or several.
    """

    def __init__(self, path: str) -> None:
        sidecars = sorted(Path(path).glob("*.rknn.json"))
        if len(sidecars) != 1:
            raise BundleNotFoundError(
                f"{path} holds {len(sidecars)} bundles, and MLflow loads one. Save a folder with one bundle."
            )
        self._model = load(sidecars[0].with_suffix(""))

    def predict(self, data: Any, params: Optional[Dict[str, Any]] = None) -> Any:
        """Return the model's predictions for a table or array of shape (n, n_features_in_)."""
        return self._model.predict(data)

    def get_raw_model(self) -> Methods:
        """Return the model, for its other methods."""
        return self._model


_load_pyfunc = PyfuncModel  # the name that MLflow looks up
