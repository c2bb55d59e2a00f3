"""The host's columns: what they compute, what they refuse, and that their document is read strictly."""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.neural_network import MLPRegressor

import scirknn
from scirknn.bundle import metadata_path, read_bundle
from scirknn.bundle.columns import Category, Coded, Columns, Lookup, Missing, Number
from scirknn.bundle.columns_metadata import from_json, to_json
from scirknn.networks import npu
from tests.device_runtime.bundle.metadata_edits import replace_metadata
from tests.device_runtime.conftest import MakeBundle

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

COLOUR = Lookup(1, ("blue", "red", None), (0, 1, 2), 1, 3, "error", 0)
COUNT = Lookup(2, (1, 2.5), (0, 1), None, 2, "ignore", 1)
COLUMNS = Columns(
    n_features_in=4,
    inputs=(
        Number(0),
        Number(0, math.nan, 7.0),
        Number(3, -1.0, 0.5),
        Missing(3, -1.0),
        Category(0, 1),
        Category(0, 2),
        Coded(1, (10.0, 20.0, -1.0)),
    ),
    lookups=(COLOUR, COUNT),
    checked=(3,),
    by_name=True,
)
TABLE = np.array(
    [[1.0, "red", 1, 4], [2, "blue", 2.5, -1], [3, None, "?", 0], [4, np.nan, 1.0, 5]], dtype=object
)


def test_columns_are_taken_filled_and_looked_up() -> None:
    assert COLUMNS.take(TABLE, "MLPClassifier").tolist() == [
        [1, 1, 4, 0, 1, 0, 10],
        [2, 2, 0.5, 1, 0, 0, 20],
        [3, 3, 0, 0, 0, 1, -1],
        [4, 4, 5, 0, 1, 0, 10],
    ]


@given(
    st.lists(st.sampled_from(["a", "b", "c", "?"]), min_size=1, max_size=30),
    st.lists(st.sampled_from([0.0, 1.5, math.nan]), min_size=30, max_size=30),
)
def test_each_row_is_what_it_would_be_alone(texts: list[str], numbers: list[float]) -> None:
    table = np.array(list(zip(texts, numbers, strict=False)), dtype=object)
    lookup = Lookup(0, ("a", "b", "c"), (0, 1, 1), None, 2, "ignore", 0)
    columns = Columns(
        2,
        (
            Category(0, 0),
            Category(0, 1),
            Coded(0, (1.0, 2.0, 3.0)),
            Number(1, math.nan, 9.0),
            Missing(1, math.nan),
        ),
        (lookup,),
    )
    expected = [
        [t == "a", t in "bc", {"a": 1, "b": 2, "c": 2}.get(t, 3), 9 if math.isnan(v) else v, math.isnan(v)]
        for t, v in zip(texts, numbers, strict=False)
    ]
    np.testing.assert_array_equal(columns.take(table, "MLPClassifier"), np.array(expected, dtype=float))


def test_numbers_of_any_dtype_are_taken_alike() -> None:
    columns = Columns(3, (Number(2), Number(0)), checked=(1,))
    X = np.arange(6).reshape(2, 3)
    for values in (X, X.astype("f4"), X.astype("u1"), X.astype(object), X.astype(str), X[::-1][::-1]):
        assert columns.take(values, "MLPClassifier").tolist() == [[2, 0], [5, 3]]


class NAType:
    """As pandas.NA: it does not say what it equals."""

    def __eq__(self, other: object) -> Any:
        return self

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    __hash__ = object.__hash__


def test_what_does_not_say_what_it_equals_is_missing() -> None:
    columns = Columns(2, (Number(0, math.nan, 5.0), Category(0, 1)), (COLOUR,))
    table = np.array([[NAType(), NAType()], [1, "red"]], dtype=object)
    assert columns.take(table, "MLPClassifier").tolist() == [[5, 1], [1, 1]]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1, "pink", 1, 1], r"Found unknown categories \['pink'\] in column 0 during transform"),
        ([1, [], 1, 1], "Found unknown categories in column 0 during transform"),
        ([math.nan, "red", 1, 1], "Input X contains NaN.\nMLPClassifier does not accept missing values"),
        ([None, "red", 1, 1], "Input X contains NaN"),
        ([1, "red", 1, math.nan], "Input X contains NaN"),
        ([1, "red", 1, math.inf], "Input X contains infinity or a value too large"),
        (["one", "red", 1, 1], "could not convert string to float: 'one'"),
        ([{}, "red", 1, 1], "real number, not 'dict'"),
    ],
    ids=str,
)
def test_what_cannot_be_taken_is_refused(row: list[Any], said: str) -> None:
    table = np.empty((1, 4), dtype=object)
    for column, value in enumerate(row):
        table[0, column] = value
    with pytest.raises(scirknn.InputError, match=said):
        COLUMNS.take(table, "MLPClassifier")


def test_checked_columns_are_refused_where_they_are_no_numbers() -> None:
    columns = Columns(2, (Number(0),), checked=(1,))
    columns.take(np.ones((1, 2)), "MLPClassifier")
    with pytest.raises(scirknn.InputError, match="contains NaN"):
        columns.take(np.array([[1.0, math.nan]]), "MLPClassifier")


def test_missing_by_encoding_is_refused() -> None:
    columns = Columns(1, (Coded(0, (1.0, math.nan, 0.0)),), (Lookup(0, ("a",), (0,), 1, 2, "error", 0),))
    with pytest.raises(scirknn.InputError, match="contains NaN"):
        columns.take(np.array([["a"], [math.nan]], dtype=object), "MLPClassifier")


def test_infinity_is_an_unknown_category_only_in_a_table_of_several_types() -> None:
    columns = Columns(1, (Category(0, 0),), (Lookup(0, (1.0,), (0,), None, 1, "ignore", 0),))
    with pytest.raises(scirknn.InputError, match=r"infinity or a value too large for dtype\('float32'\)"):
        columns.take(np.array([[1.0], [math.inf]], np.float32), "MLPClassifier")
    assert columns.take(np.array([[1.0], [math.inf]], object), "MLPClassifier").tolist() == [[1], [0]]


def test_unknown_categories_can_warn() -> None:
    columns = Columns(1, (Category(0, 0),), (Lookup(0, ("a", "b"), (0, 1), None, 2, "warn", 3),))
    with pytest.warns(UserWarning, match=r"in columns \[3\] during transform.*encoded as all zeros"):
        assert columns.take(np.array([["z"]], dtype=object), "MLPClassifier").tolist() == [[0]]


@pytest.fixture
def path(make_bundle: MakeBundle) -> Path:
    X = COLUMNS.take(np.repeat(TABLE, 8, axis=0), "MLPRegressor")
    estimator = MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0).fit(X, np.arange(32.0))
    return make_bundle(estimator, (1, 8), columns=COLUMNS, column_names=tuple("abcd"))


def test_a_bundle_with_columns_is_written_and_read(path: Path) -> None:
    bundle = read_bundle(path)
    assert json.loads(metadata_path(path).read_text())["format"] == 2
    assert repr(bundle.columns) == repr(COLUMNS)
    assert (bundle.n_features_in, bundle.n_inputs, bundle.channels) == (4, 7, 8)
    assert bundle.first_step == "ColumnTransformer"


class Frame:
    """The little of a DataFrame that matters here."""

    def __init__(self, values: Any, columns: str) -> None:
        self.values, self.columns = values, list(columns)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype=dtype)


def test_tables_are_predicted_in_any_form(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scirknn.MLPRegressor(path) as model:
        expected = model.predict(TABLE)
        assert expected.dtype == np.float64
        assert model.n_features_in_ == 4
        np.testing.assert_array_equal(model.predict(TABLE.tolist()), expected)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            shuffled = Frame(np.hstack([TABLE[:, ::-1], TABLE]), "dcbawxyz")
            np.testing.assert_array_equal(model.predict(shuffled), expected)
    monkeypatch.setattr(npu, "VALUES", 64)  # 21 rows in blocks of 8
    with scirknn.MLPRegressor(path) as model:
        many = np.tile(TABLE, (6, 1))[:21]
        np.testing.assert_allclose(model.predict(many), np.tile(expected, 6)[:21], rtol=1e-6)


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (Frame(TABLE[:, :3], "abz"), "columns are missing: {"),
        (TABLE[:, :3], "X has 3 features, but ColumnTransformer is expecting 4 features as input"),
        (TABLE[:0], "0 sample"),
        (TABLE[0], "Expected 2D array, got 1D array instead"),
        (TABLE[None], "Found array with dim 3"),
        (np.ones((2, 4), dtype=complex), "Complex data not supported"),
        ([[1, "red"], [1]], ""),
    ],
    ids=["other names", "narrow", "no rows", "one dimension", "three dimensions", "complex", "ragged"],
)
def test_wrong_tables_are_refused(path: Path, X: Any, said: str) -> None:
    with scirknn.load(path) as model, pytest.raises(scirknn.InputError) as caught:
        model.predict(X)
    assert said in str(caught.value)


def _never(why: str) -> Any:
    raise scirknn.BundleFormatError(why)


def test_a_document_is_read_as_it_was_written() -> None:
    text = json.dumps(to_json(COLUMNS), allow_nan=False)
    assert repr(from_json(json.loads(text), 4, _never)) == repr(COLUMNS)


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ((), None, "no entry with by_name, checked, inputs, lookups"),
        (("by_name",), 1, "by_name that is neither"),
        (("inputs",), [], "has no inputs"),
        (("inputs",), {}, "no list where one belongs"),
        (("inputs", 0), 3, "input of another form"),
        (("inputs", 0, "from"), 4, "names 4, where there are 4"),
        (("inputs", 0, "from"), True, "names True"),
        (("inputs", 0, "more"), 1, "input of another form"),
        (("inputs", 1, "fill"), None, "has None where a number belongs"),
        (("inputs", 1, "fill"), "7", "has '7' where a number belongs"),
        (("inputs", 1, "fill"), 10**400, "where a number belongs"),
        (("inputs", 4, "lookup"), 2, "names 2, where there are 2"),
        (("inputs", 4, "is"), 3, "names 3, where there are 3"),
        (("inputs", 6, "values"), [1.0], "1 values for a lookup of 2 codes"),
        (("lookups", 0, "keys"), ["a", "a", "b"], "a key twice"),
        (("lookups", 0, "keys"), ["a", [], "b"], "no text or number"),
        (("lookups", 0, "keys"), ["a"], "1 keys and 3 codes"),
        (("lookups", 0, "keys"), ["a", math.inf, "b"], "not finite"),
        (("lookups", 0, "codes"), [0, 1, 3], "names 3"),
        (("lookups", 0, "nan"), -1, "names -1"),
        (("lookups", 0, "size"), -1, "names -1"),
        (("lookups", 0, "unknown"), "guess", "unknown is 'guess'"),
        (("lookups", 0, "unknown"), [], "unknown is []"),
        (("checked",), [9], "names 9"),
    ],
    ids=str,
)
def test_a_damaged_document_says_where(place: tuple[Any, ...], value: Any, said: str) -> None:
    whole = {"columns": json.loads(json.dumps(to_json(COLUMNS)))}
    *outer, last = ("columns", *place)
    target: Any = whole
    for key in outer:
        target = target[key]
    target[last] = value
    with pytest.raises(scirknn.BundleFormatError) as caught:
        from_json(whole["columns"], 4, _never)
    assert said in str(caught.value)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_document_is_read_or_refused(path: Path, data: st.DataObject) -> None:
    sidecar = metadata_path(path)
    original = sidecar.read_bytes()
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
    whole = json.loads(original)
    target, last = whole, "columns"
    while isinstance(target[last], (dict, list)) and target[last] and data.draw(st.booleans()):
        target = target[last]
        keys = sorted(target) if isinstance(target, dict) else range(len(target))
        last = data.draw(st.sampled_from(list(keys)))
    target[last] = data.draw(values)
    try:
        replace_metadata(path, whole)
        bundle = read_bundle(path)
    except scirknn.BundleError:
        return
    finally:
        sidecar.write_bytes(original)
    assert bundle.columns is not None
    # What was read can be used: it answers, or refuses the rows.
    with contextlib.suppress(scirknn.InputError):
        bundle.columns.take(TABLE, "MLPRegressor")
