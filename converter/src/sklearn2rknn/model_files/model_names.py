"""Names that a model file may hold, and what each of them becomes."""

from __future__ import annotations

from typing import Any

import numpy as np

from scirknn.steps.elementwise import FUNCTIONS as ELEMENTWISE

INSTANCES = frozenset(
    {
        # The estimators, and what scikit-learn keeps in them after fit.
        "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
        "sklearn.neural_network._multilayer_perceptron.MLPRegressor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.preprocessing._label.LabelBinarizer",
        # Pipelines, and steps that are converted.
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.compose._target.TransformedTargetRegressor",
        "sklearn.decomposition._pca.PCA",
        "sklearn.decomposition._truncated_svd.TruncatedSVD",
        "sklearn.impute._base.MissingIndicator",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.pipeline.FeatureUnion",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.MaxAbsScaler",
        "sklearn.preprocessing._data.MinMaxScaler",
        "sklearn.preprocessing._data.RobustScaler",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._encoders.OneHotEncoder",
        "sklearn.preprocessing._encoders.OrdinalEncoder",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
        # What models of kernels hold.
        "sklearn.preprocessing._data.KernelCenterer",
        *(
            f"sklearn.gaussian_process.kernels.{name}"
            for name in (
                "ConstantKernel",
                "DotProduct",
                "Exponentiation",
                "Matern",
                "Product",
                "RBF",
                "RationalQuadratic",
                "Sum",
                "WhiteKernel",
            )
        ),
        # Selectors, and linear models whose coefficients score features for them.
        "sklearn.feature_selection._from_model.SelectFromModel",
        "sklearn.feature_selection._rfe.RFE",
        "sklearn.feature_selection._rfe.RFECV",
        "sklearn.feature_selection._sequential.SequentialFeatureSelector",
        "sklearn.feature_selection._univariate_selection.GenericUnivariateSelect",
        "sklearn.feature_selection._univariate_selection.SelectFdr",
        "sklearn.feature_selection._univariate_selection.SelectFpr",
        "sklearn.feature_selection._univariate_selection.SelectFwe",
        "sklearn.feature_selection._univariate_selection.SelectKBest",
        "sklearn.feature_selection._univariate_selection.SelectPercentile",
        "sklearn.feature_selection._variance_threshold.VarianceThreshold",
        "sklearn.linear_model._base.LinearRegression",
        "sklearn.linear_model._coordinate_descent.Lasso",
        "sklearn.linear_model._coordinate_descent.LassoCV",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.linear_model._ridge.Ridge",
        # Trees and neighbors, with what fit leaves in them.
        "sklearn.dummy.DummyClassifier",
        "sklearn.dummy.DummyRegressor",
        "sklearn.ensemble._forest.ExtraTreesClassifier",
        "sklearn.ensemble._forest.ExtraTreesRegressor",
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.ensemble._forest.RandomForestRegressor",
        "sklearn.ensemble._gb.GradientBoostingClassifier",
        "sklearn.ensemble._gb.GradientBoostingRegressor",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.ensemble._iforest.IsolationForest",
        "sklearn.neighbors._classification.KNeighborsClassifier",
        "sklearn.neighbors._kde.KernelDensity",
        "sklearn.neighbors._regression.KNeighborsRegressor",
        "sklearn.neighbors._unsupervised.NearestNeighbors",
        "sklearn.preprocessing._label.LabelEncoder",
        "sklearn.tree._classes.DecisionTreeClassifier",
        "sklearn.tree._classes.DecisionTreeRegressor",
        "sklearn.tree._classes.ExtraTreeClassifier",
        "sklearn.tree._classes.ExtraTreeRegressor",
        # What ensembles and calibrated classifiers hold.
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.isotonic.IsotonicRegression",
        # Searches. Not the distributions of scipy.stats that some are given.
        "sklearn.model_selection._search.GridSearchCV",
        "sklearn.model_selection._search.RandomizedSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
    }
)
"""Classes of which a plain instance is made: no constructor and no ``__setstate__`` runs."""

METRICS = (
    "BrayCurtis", "Canberra", "Chebyshev", "Dice", "Euclidean", "Hamming", "Haversine", "Jaccard",
    "Mahalanobis", "Manhattan", "Minkowski", "RogersTanimoto", "RussellRao", "SEuclidean", "SokalMichener",
    "SokalSneath",
)  # fmt: skip
"""Distances of trees of neighbors."""

LOSSES = (
    "AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss",
    "HalfPoissonLoss", "HalfSquaredError", "HuberLoss", "PinballLoss",
)  # fmt: skip
"""Losses of gradient boosting."""

_LINEAR_LOSSES = (
    "EpsilonInsensitive", "Hinge", "Huber", "Log", "ModifiedHuber", "SquaredEpsilonInsensitive",
    "SquaredHinge", "SquaredLoss",
)  # fmt: skip
"""Losses of linear models that are fitted by stochastic gradient descent."""

_TWEEDIE = ("HalfTweedieLoss", "HalfTweedieLossIdentity")

_LINKS = ("HalfLogitLink", "IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit")

SAMPLERS = frozenset(
    f"imblearn.{name}"
    for name in (
        "base.FunctionSampler",
        "combine._smote_enn.SMOTEENN",
        "combine._smote_tomek.SMOTETomek",
        "over_sampling._adasyn.ADASYN",
        "over_sampling._random_over_sampler.RandomOverSampler",
        "over_sampling._smote.base.SMOTE",
        "over_sampling._smote.base.SMOTEN",
        "over_sampling._smote.base.SMOTENC",
        "over_sampling._smote.cluster.KMeansSMOTE",
        "over_sampling._smote.filter.BorderlineSMOTE",
        "over_sampling._smote.filter.SVMSMOTE",
        "under_sampling._prototype_generation._cluster_centroids.ClusterCentroids",
        *(
            f"under_sampling._prototype_selection.{name}"
            for name in (
                "_condensed_nearest_neighbour.CondensedNearestNeighbour",
                "_edited_nearest_neighbours.AllKNN",
                "_edited_nearest_neighbours.EditedNearestNeighbours",
                "_edited_nearest_neighbours.RepeatedEditedNearestNeighbours",
                "_instance_hardness_threshold.InstanceHardnessThreshold",
                "_nearmiss.NearMiss",
                "_neighbourhood_cleaning_rule.NeighbourhoodCleaningRule",
                "_one_sided_selection.OneSidedSelection",
                "_random_under_sampler.RandomUnderSampler",
                "_tomek_links.TomekLinks",
            )
        ),
    )
)
"""imbalanced-learn's samplers, which act in fit only."""

RECORDS = frozenset(
    {
        *SAMPLERS,
        "scipy.interpolate._bsplines.BSpline",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.metrics._scorer._CurveScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.metrics._scorer._PredictScorer",
        "sklearn.metrics._scorer._ProbaScorer",
        "sklearn.metrics._scorer._ThresholdScorer",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        "sklearn.model_selection._split.GroupKFold",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.RepeatedKFold",
        "sklearn.model_selection._split.RepeatedStratifiedKFold",
        "sklearn.model_selection._split.ShuffleSplit",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.model_selection._split.StratifiedShuffleSplit",
        "sklearn.model_selection._split.TimeSeriesSplit",
        # An array whose data follows in the file.
        "joblib.numpy_pickle.NumpyArrayWrapper",
        # Random generators.
        "numpy.random.__RandomState_ctor",
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "numpy.random.bit_generator.SeedSequence",
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
        # Arrays with a mask, in the results of a search.
        "numpy.ma._mareconstruct",
        "numpy.ma.core._mareconstruct",
        # The tree of a Birch, whose leaves are read from arrays.
        "sklearn.cluster._birch._CFNode",
        "sklearn.cluster._birch._CFSubcluster",
        # Objects of compiled classes.
        "sklearn.tree._tree.Tree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neighbors._kd_tree.newObj",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._ball_tree.newObj",
        "sklearn.metrics._dist_metrics.newObj",
        *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in METRICS for bits in ("", "64")),
        *(f"sklearn._loss.loss.{name}" for name in LOSSES),
        *(f"sklearn._loss._loss.Cy{name}" for name in LOSSES),
        "sklearn._loss._loss.__pyx_unpickle_CyHalfMultinomialLoss",
        *(f"sklearn._loss.link.{name}" for name in _LINKS),
        *(f"sklearn._loss.{place}{name}" for name in _TWEEDIE for place in ("loss.", "_loss.Cy")),
        *(f"sklearn.linear_model._sgd_fast.{name}" for name in _LINEAR_LOSSES),
        "functools.partial",  # in HistGradientBoosting, around check_array
    }
)
"""Classes and constructors of which only name, arguments and state are kept."""

DICTS = frozenset({"sklearn.utils.deprecation.DeprecationDict", "sklearn.utils._bunch.Bunch"})
"""Classes that become a plain dict, without their other state.

A search's results before 0.24, and the members of an ensemble by their names.
"""

TYPES: dict[str, Any] = {
    **{f"builtins.{kind.__name__}": kind for kind in (bool, bytes, float, int, object, str)},
    **{
        f"numpy.{name}": getattr(np, name)
        for name in (
            "bool", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "object_",
            "str_", "uint8", "uint16", "uint32", "uint64",
        )
        if hasattr(np, name)
    },
}  # fmt: skip
"""Types of numbers and text, which are parameters of some steps."""

FUNCTIONS: dict[str, Any] = {f"numpy.{name}": getattr(np, name) for name in ("abs", *ELEMENTWISE)}
"""numpy's elementwise functions of one argument."""

_MODULES = {
    # Python 2 and numpy before 2.
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "numpy.core": "numpy._core",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    # scikit-learn before 0.22, and before 0.23 for joblib.
    "sklearn.decomposition.pca": "sklearn.decomposition._pca",
    "sklearn.decomposition.truncated_svd": "sklearn.decomposition._truncated_svd",
    "sklearn.externals.joblib.numpy_pickle": "joblib.numpy_pickle",
    "sklearn.feature_selection.from_model": "sklearn.feature_selection._from_model",
    "sklearn.feature_selection.mutual_info_": "sklearn.feature_selection._mutual_info",
    "sklearn.feature_selection.rfe": "sklearn.feature_selection._rfe",
    "sklearn.feature_selection.univariate_selection": "sklearn.feature_selection._univariate_selection",
    "sklearn.feature_selection.variance_threshold": "sklearn.feature_selection._variance_threshold",
    "sklearn.impute": "sklearn.impute._base",
    "sklearn.linear_model.base": "sklearn.linear_model._base",
    "sklearn.linear_model.coordinate_descent": "sklearn.linear_model._coordinate_descent",
    "sklearn.linear_model.logistic": "sklearn.linear_model._logistic",
    "sklearn.linear_model.ridge": "sklearn.linear_model._ridge",
    "sklearn.metrics.classification": "sklearn.metrics._classification",
    "sklearn.metrics.regression": "sklearn.metrics._regression",
    "sklearn.metrics.scorer": "sklearn.metrics._scorer",
    "sklearn.neural_network.multilayer_perceptron": "sklearn.neural_network._multilayer_perceptron",
    "sklearn.preprocessing.data": "sklearn.preprocessing._data",
    "sklearn.preprocessing.label": "sklearn.preprocessing._label",
    "sklearn.tree.tree": "sklearn.tree._classes",
    # imbalanced-learn's Pipeline predicts as scikit-learn's does without samplers, which are left out.
    "imblearn.pipeline": "sklearn.pipeline",
}


def current_name(module: str, name: str) -> str:
    """Return the full name of a class or function in the present packages."""
    return f"{_MODULES.get(module, module)}.{name}"
