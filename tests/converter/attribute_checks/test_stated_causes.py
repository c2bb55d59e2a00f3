"""Legal fits that cannot be converted, or look damaged: the refusal states their own cause."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.cluster import AffinityPropagation
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import AdaBoostRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import LabelPropagation

from scirknn.answers import answer, final_values
from sklearn2rknn import UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.check_result import advise

X = np.random.default_rng(0).normal(size=(30, 2))
Y = np.arange(30) % 2
EMPTY = "the fit kept no component, class or row"
SPARSE = r"is a sparse matrix\. Fit to X\.toarray\(\)"


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (PCA(n_components=0).fit(X), rf"PCA\.components_ is empty, of shape \(0, 2\): {EMPTY}"),
        (LinearDiscriminantAnalysis().fit(X, 0 * Y), rf"scalings_ is empty, of shape \(2, 0\): {EMPTY}"),
        (LinearDiscriminantAnalysis(solver="eigen").fit(X, 0 * Y), EMPTY),
        (KernelPCA(remove_zero_eig=True).fit(np.ones((9, 2))), EMPTY),
        (AffinityPropagation().fit(csr_array(X)), SPARSE),
        (LabelPropagation().fit(csr_array(X), Y), SPARSE),
        (KNeighborsRegressor().fit(X, Y.astype(str)), "fitted on targets of <U21, of which no mean can be"),
    ],
)
def test_what_fit_left_is_not_called_a_change(model: Any, text: str) -> None:
    with pytest.raises(UnsupportedModelError, match=text) as caught:
        network_from_estimator(model)
    assert "changed after fit" not in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(
            make_column_transformer((PCA(n_components=0), [0]), remainder="passthrough"), LogisticRegression()
        ).fit(X, Y),
        AdaBoostRegressor(random_state=0).fit(np.ones((30, 2)), Y),
    ],
)
def test_no_component_among_columns_and_a_member_of_no_weight_are_converted(model: Any) -> None:
    network = network_from_estimator(model)
    rows = X if len(model.__dict__.get("steps", ())) else np.ones((30, 2))
    values = final_values(network, network.forward(rows), None)
    np.testing.assert_allclose(answer(network, "predict", values), model.predict(rows))


@pytest.mark.parametrize(
    ("model", "better", "text"),
    [
        (
            KernelDensity(bandwidth=1e-3).fit(X),
            "",
            r"up to [\de.+]+ bandwidths away.*Fit with a larger bandwidth\.",
        ),
        (GaussianMixture(2, random_state=0).fit(np.round(X)), "int8", "larger reg_covar.* promises no prob"),
        (LogisticRegression().fit(X, Y), "", r"^Scale X .* No other precision would do\.$"),
        (LogisticRegression().fit(X, Y), "int16", "^precision='int16' would do, which promises no prob"),
    ],
)
def test_the_cure_of_a_missed_limit_is_the_models(model: Any, better: str, text: str) -> None:
    network = network_from_estimator(model)
    rows = network.prepare(X)
    assert re.search(text, advise(network.without_host_steps(), rows, better))
