"""Read an estimator from a file, running no code that the file brings."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zlib
from pathlib import Path
from typing import Any

import joblib.numpy_pickle  # type: ignore[import-untyped]

from sklearn2rknn.errors import ModelFileError, UntrustedModelError

__all__ = ["ADMITTED", "PICKLE_SUFFIXES", "load_model"]

PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib")

SIZE_LIMIT = 2 << 30  # bytes of a decompressed pickle

ADMITTED = frozenset(
    {
        # The estimators, and what scikit-learn keeps in them after fit.
        "sklearn.neural_network._multilayer_perceptron.MLPClassifier",
        "sklearn.neural_network._multilayer_perceptron.MLPRegressor",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.preprocessing._label.LabelBinarizer",
        # Pipelines, and steps that are converted.
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.compose._column_transformer._RemainderColsList",
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
        # Selectors, what scores features for them, and linear models whose coefficients do.
        "sklearn.feature_selection._from_model.SelectFromModel",
        "sklearn.feature_selection._mutual_info.mutual_info_classif",
        "sklearn.feature_selection._mutual_info.mutual_info_regression",
        "sklearn.feature_selection._rfe.RFE",
        "sklearn.feature_selection._rfe.RFECV",
        "sklearn.feature_selection._sequential.SequentialFeatureSelector",
        "sklearn.feature_selection._univariate_selection.GenericUnivariateSelect",
        "sklearn.feature_selection._univariate_selection.SelectFdr",
        "sklearn.feature_selection._univariate_selection.SelectFpr",
        "sklearn.feature_selection._univariate_selection.SelectFwe",
        "sklearn.feature_selection._univariate_selection.SelectKBest",
        "sklearn.feature_selection._univariate_selection.SelectPercentile",
        "sklearn.feature_selection._univariate_selection.chi2",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.feature_selection._univariate_selection.r_regression",
        "sklearn.feature_selection._variance_threshold.VarianceThreshold",
        "sklearn.linear_model._base.LinearRegression",
        "sklearn.linear_model._coordinate_descent.Lasso",
        "sklearn.linear_model._coordinate_descent.LassoCV",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.linear_model._ridge.Ridge",
        # Searches. Not the distributions of scipy.stats that some are given: reading one runs text from the
        # file as code.
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._search.GridSearchCV",
        "sklearn.model_selection._search.RandomizedSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
        "sklearn.metrics._classification.accuracy_score",
        "sklearn.metrics._regression.r2_score",
        "sklearn.metrics._scorer._Scorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "numpy.ma.MaskedArray",
        "numpy.ma.core.MaskedArray",
        "numpy.ma.core._mareconstruct",
        # What numpy and joblib write an array as; numpy before 2 has "core" for "_core".
        "numpy.ndarray",
        "numpy.dtype",
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "joblib.numpy_pickle.NumpyArrayWrapper",
        # random_state, when it is a generator.
        "numpy.random._mt19937.MT19937",
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "numpy.random.bit_generator.SeedSequence",
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
        # How old protocols write bytes and objects.
        "_codecs.encode",
        "builtins.object",
        # Parameters and parts of steps.
        "builtins.bytes",
        "builtins.float",
        "builtins.int",
        "builtins.slice",
        "builtins.str",
        "numpy.bool",
        "numpy.bool_",
        "numpy.float32",
        "numpy.float64",
        "numpy.int32",
        "numpy.int64",
        "numpy.object_",
        "numpy.str_",
        "copyreg._reconstructor",
    }
)
"""What a pickled multi-layer perceptron and its pipeline name; a file that names anything else is refused.

None of these runs code that its arguments choose: they make arrays, numbers, generators, or an object of one
of these classes with plain attributes, and the functions compute numbers from arrays.
"""


def load_model(path: str | os.PathLike[str], *, trust_pickle: bool = False) -> Any:
    """Read a fitted estimator.

    Parameters
    ----------
    path : path-like
        ``.skops``, or a pickle: ``.pkl``, ``.pickle`` or ``.joblib``.
    trust_pickle : bool
        Load a pickle whatever it names. A pickle can run any code: only for files of known origin.

    Returns
    -------
    object
        What the file holds.

    Raises
    ------
    UntrustedModelError
        The file names a class or a function that no multi-layer perceptron or pipeline needs.
    ModelFileError
        It is missing, damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(f"There is no file {path}. Give the path of a .skops, .pkl or .joblib file.")
    suffix = path.suffix.lower()
    try:
        if suffix == ".skops":
            return _load_skops(path)
        if suffix in PICKLE_SUFFIXES:
            return _load_pickle(path, trust_pickle)
    except ModelFileError:
        raise
    except RecursionError:
        raise ModelFileError(f"{path} nests deeper than any estimator does. Save the model again.") from None
    except Exception as error:  # a damaged file fails in any way
        raise ModelFileError(
            f"{path} cannot be read: {type(error).__name__}: {str(error)[:300]}. It may be damaged, or "
            "written by another version of scikit-learn or numpy; save the model again, best as .skops."
        ) from error
    raise ModelFileError(
        f"{path} ends in {suffix or 'nothing'}; a model's file ends in .skops, {', '.join(PICKLE_SUFFIXES)}."
    )


def _load_skops(path: Path) -> Any:
    import skops.io  # a fifth of what the command takes to start, which other files can do without

    unknown = skops.io.get_untrusted_types(file=path)
    # skops trusts the estimators, and not the optimisers that fit leaves in them.
    needless = [name for name in unknown if name not in ADMITTED]
    if needless:
        raise UntrustedModelError(
            needless[0],
            f"{path} names {', '.join(needless[:5])}, which no multi-layer perceptron or pipeline needs. "
            "Save the estimator alone, of a search its best_estimator_: skops.io.dump(clf, path).",
        )
    return skops.io.load(path, trusted=unknown)


class _ArrayInFile(joblib.numpy_pickle.NumpyArrayWrapper):  # type: ignore[misc]  # joblib is untyped
    """joblib's array with its data behind it in the file, which may not bring a pickle of its own along."""

    def read_array(self, unpickler: Any, *arguments: Any) -> Any:
        """Read the data; the objects of an object array through the same gate as everything else."""
        if self.dtype.hasobject:
            return _Unpickler(unpickler.filename, unpickler.file_handle, True).load()
        return super().read_array(unpickler, *arguments)


class _Unpickler(joblib.numpy_pickle.NumpyUnpickler):  # type: ignore[misc]  # joblib is untyped
    """joblib's unpickler, which also reads plain pickles, with its imports limited to `ADMITTED`."""

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
        full = f"{module}.{name}"
        if full == "joblib.numpy_pickle.NumpyArrayWrapper":
            return _ArrayInFile
        if full not in ADMITTED:
            raise UntrustedModelError(
                full,
                f"The file names {full}, which no multi-layer perceptron or pipeline needs; loading it could "
                "run any code. If you made the file yourself and trust it, pass --trust-pickle "
                "(trust_pickle=True); or save the model as .skops, of a search its best_estimator_ alone.",
            )
        return super().find_class(module, name)


def _load_pickle(path: Path, trust: bool) -> Any:
    if trust:
        return joblib.load(path)
    return _Unpickler("", io.BytesIO(_decompressed(path)), True).load()


def _decompressed(path: Path) -> bytes:
    """Return the file's bytes, decompressed where joblib compressed them."""
    data = path.read_bytes()
    decompressor: Any
    if data[:1] == b"\x78" or data[:2] == b"\x1f\x8b":
        decompressor = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it is
    elif data[:3] == b"BZh":
        decompressor = bz2.BZ2Decompressor()
    elif data[:5] == b"\xfd7zXZ" or data[:3] == b"\x5d\x00\x00":
        decompressor = lzma.LZMADecompressor()
    else:
        return data
    plain: bytes = decompressor.decompress(data, SIZE_LIMIT)
    if not decompressor.eof:
        raise ModelFileError(f"{path} is cut short, or larger than {SIZE_LIMIT >> 20} MiB when decompressed.")
    return plain
