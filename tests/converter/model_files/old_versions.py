"""Write fixtures with an old scikit-learn: ``python old_versions.py FOLDER PROTOCOL``.

Run it in an environment of its own, without this project; the protocol is 2 with Python 3.7, else 4:

====== ===================== ==========
Python scikit-learn          numpy
====== ===================== ==========
3.7    0.20.4, 0.22.2.post1  below 1.20
3.8    0.24.2, 1.0.2         below 1.23
3.9    1.2.2                 below 1.25
3.10   1.4.2                 below 2
====== ===================== ==========

``expected.json`` holds rows, and what that version predicted for them.
"""

import json
import os
import pickle
import sys
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler


def fitted_models() -> Any:
    """Return by kind a fitted model, its method and rows for it."""
    random = np.random.RandomState(0)
    X = np.round(random.normal(size=(60, 3)), 3)
    labels = np.array(["a", "b", "c"])[(X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)]
    targets = np.round(X[:, 0] * 2 - X[:, 1], 3)
    mixed = np.column_stack([X[:, :2], np.clip(np.round(X[:, 2]), -1, 1)])
    small = {"hidden_layer_sizes": (3,), "max_iter": 30, "random_state": 0, "solver": "lbfgs"}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), MLPClassifier(**small)), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2
    )
    encoder = OneHotEncoder(handle_unknown="ignore", categories=[[-1.0, 0.0, 1.0]])
    columns = ColumnTransformer([("n", StandardScaler(), [0, 1]), ("k", encoder, [2])])
    scalers = StandardScaler(), MinMaxScaler(), RobustScaler()
    adam = MLPRegressor(activation="tanh", hidden_layer_sizes=(3,), max_iter=5, random_state=0)
    logistic = MLPRegressor(activation="logistic", **small)
    return {
        "classifier": (MLPClassifier(activation="relu", **small).fit(X, labels), "predict_proba", X[:8]),
        "regressor": (adam.fit(X, targets), "predict", X[:8]),
        "pipeline": (make_pipeline(*scalers, logistic).fit(X, targets), "predict", X[:8]),
        "search": (search.fit(X, labels), "predict_proba", X[:8]),
        "columns": (
            make_pipeline(columns, MLPRegressor(**small)).fit(mixed, targets), "predict", mixed[:8],
        ),
    }  # fmt: skip


def main(folder: str, protocol: str) -> None:
    """Write all fixtures of the scikit-learn that runs this."""
    expected = {}
    for kind, (model, method, rows) in fitted_models().items():
        with open(os.path.join(folder, f"{kind}.pkl"), "wb") as file:
            pickle.dump(model, file, protocol=int(protocol))
        values = getattr(model, method)(rows)
        expected[kind] = {"method": method, "rows": rows.tolist(), "values": values.tolist()}
    with open(os.path.join(folder, "expected.json"), "w") as file:
        json.dump(expected, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
