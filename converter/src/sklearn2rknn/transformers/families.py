"""Every transformer that can be converted, by its class."""

from __future__ import annotations

from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from sklearn2rknn.transformers.composites import (
    apply_column_transformer,
    apply_feature_union,
    apply_function_transformer,
)
from sklearn2rknn.transformers.decompositions import apply_pca, apply_svd
from sklearn2rknn.transformers.encoders import apply_one_hot, apply_ordinal
from sklearn2rknn.transformers.imputers import apply_imputer, apply_indicator
from sklearn2rknn.transformers.registry import STEPS
from sklearn2rknn.transformers.scalers import (
    apply_max_abs_scaler,
    apply_min_max_scaler,
    apply_robust_scaler,
    apply_standard_scaler,
)
from sklearn2rknn.transformers.selectors import apply_selector

STEPS.update(
    {
        SelectorMixin: apply_selector,
        StandardScaler: apply_standard_scaler,
        MinMaxScaler: apply_min_max_scaler,
        MaxAbsScaler: apply_max_abs_scaler,
        RobustScaler: apply_robust_scaler,
        PCA: apply_pca,
        TruncatedSVD: apply_svd,
        FunctionTransformer: apply_function_transformer,
        ColumnTransformer: apply_column_transformer,
        FeatureUnion: apply_feature_union,
        SimpleImputer: apply_imputer,
        MissingIndicator: apply_indicator,
        OneHotEncoder: apply_one_hot,
        OrdinalEncoder: apply_ordinal,
    }
)
