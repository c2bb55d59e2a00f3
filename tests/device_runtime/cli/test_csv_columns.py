"""CSV files are read as pandas wrote them: verbatim texts, gaps, headers, booleans."""

from __future__ import annotations

import functools
import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from scirknn.bundle.columns import Category, Columns, Lookup, Number
from scirknn.cli.table_files import read_table
from scirknn.errors import InputError
from sklearn2rknn import network_from_estimator
from tests.converter.fitted_pipelines import quietly_fitted
from tests.counts import counted

TEXTS = (
    "none", "None", "NA", "nan", "null", " Private", "Private", "Private ", "a,b", 'q"x', "é", "True",
    "false", "1", "1.0", "x\ny", "-", "0,1", "#N/A",
)  # fmt: skip


class Model:
    """What takes rows."""

    def __init__(
        self, width: int, names: tuple[str, ...] | None = None, columns: Columns | None = None
    ) -> None:
        self.n_features_in, self.feature_names, self.columns = width, names, columns


def lookup(*keys: Any, nan: int | None = None) -> Columns:
    """Return one column that is looked up."""
    table = Lookup(0, keys, tuple(range(len(keys))), nan, len(keys) + 1, "ignore", 0)
    return Columns(1, tuple(Category(0, code) for code in range(len(keys))), (table,))


def read(text: str, model: Model, tmp_path: Path, header: str = "auto") -> Any:
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    return read_table(str(path), model, header=header)


@pytest.mark.parametrize(
    ("cell", "keys", "value"),
    [
        ("none", ("none", "b"), "none"),
        (" Private", (" Private", "b"), " Private"),
        (" Private", ("Private", "b"), " Private"),
        ("NA", ("a", "b"), "NA"),
        ("1", ("a", 1), 1),
        ("1", ("a", "1"), "1"),
        ("True", (True, False), True),
        ("True", ("True", "b"), "True"),
        ("None", ("a", None), "None"),
    ],
)
def test_cell_of_a_text_column_is_taken_verbatim(cell: str, keys: Any, value: Any, tmp_path: Path) -> None:
    rows = read(f"x\n{cell}\n", Model(1, ("x",), lookup(*keys)), tmp_path)
    assert rows.tolist() == [[value]]


@pytest.mark.parametrize(
    ("keys", "nan", "value"), [(("", "a"), None, ""), (("a", None), None, None), (("a", "b"), 1, np.nan)]
)
def test_empty_cell_of_a_text_column_is_the_gap_that_the_model_knows(
    keys: Any, nan: int | None, value: Any, tmp_path: Path
) -> None:
    rows = read('x\n""\n', Model(1, ("x",), lookup(*keys, nan=nan)), tmp_path)
    np.testing.assert_array_equal(rows[0, 0], value)


def test_true_and_false_are_numbers_where_a_number_is_expected(tmp_path: Path) -> None:
    assert read("True,2\nfalse,3\n", Model(2), tmp_path).tolist() == [[1, 2], [0, 3]]


@pytest.mark.parametrize("cell", ["1_000", "x"])
def test_what_is_no_number_is_refused_by_its_line(cell: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"line 2, column 1: '{cell}' is no number"):
        read(f"1,2\n{cell},3\n", Model(2), tmp_path)


def test_mixed_first_line_is_the_error_that_it_would_be_in_line_2(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1, column 2: 'x' is no number"):
        read("1,x\n2,3\n", Model(2), tmp_path)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", [[1, 2]]),
        ("0,1\n1.5,2.5\n", [[1.5, 2.5]]),
        ("0,1,2,3\n4,5,6,7\n", [[4, 5, 6, 7]]),
        (",0,1,2,3\n0,4,5,6,7\n", [[4, 5, 6, 7]]),
        (",a,b\n7,1,2\n", [[1, 2]]),
        ("1;2\n", [[1, 2]]),
        ("\ufeffa,b\n1,2\n", [[1, 2]]),
        ("\ufeff3,4\n", [[3, 4]]),
    ],
)
def test_header_and_index_are_recognised(text: str, rows: Any, tmp_path: Path) -> None:
    assert read(text, Model(len(rows[0])), tmp_path).tolist() == rows


def test_line_of_0_and_1_before_integers_is_refused_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--header yes if they are names, --header no if they are a row"):
        read("0,1\n1,0\n", Model(2), tmp_path)


def test_first_row_of_texts_is_a_row_where_one_is_a_category(tmp_path: Path) -> None:
    assert read("a\nc\n", Model(1, None, lookup("a", "b")), tmp_path).tolist() == [["a"], ["c"]]
    assert read("label\na\n", Model(1, None, lookup("a", "b")), tmp_path).tolist() == [["a"]]


def test_name_of_the_model_twice_in_a_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the column 'a' 2 times"):
        read("a,b,a\n1,2,3\n", Model(2, ("a", "b")), tmp_path)


def test_delimiter_is_the_one_that_gives_as_many_cells_as_columns(tmp_path: Path) -> None:
    model = Model(2, ("a;x;y", "b"))
    assert read('"a;x;y",b\n1,2\n', model, tmp_path).tolist() == [[1, 2]]


def test_byte_order_mark_on_standard_input_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO("\ufeffa,b\n1,2\n".encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    assert read_table("-", Model(2, ("a", "b"))).tolist() == [[1, 2]]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufeffb,a\n1,2\n"))
    assert read_table("-", Model(2, ("a", "b"))).tolist() == [[2, 1]]


def test_what_is_taken_as_header_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read("a,b\n1,2\n", Model(2), tmp_path)
    assert "x.csv: the first line is taken as names of columns: a,b" in capsys.readouterr().err
    read("1,2\n", Model(2), tmp_path)
    assert capsys.readouterr().err == ""


@functools.cache
def _mixed_model() -> Any:
    """Return a network behind a pipeline of texts with and without gaps, a number with gaps and a flag."""
    pandas = pytest.importorskip("pandas", reason="needs pandas, to write tables")
    table = pandas.DataFrame(
        {
            "text": pandas.Series([*TEXTS, "b"], dtype=object),
            "gaps": pandas.Series(["none", np.nan] * 10, dtype=object),
            "number": np.where(np.arange(20) % 3, np.arange(20.0), np.nan),
            "flag": np.arange(20) % 2 == 0,
        }
    )
    columns = ColumnTransformer(
        [
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["text", "gaps"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["number", "flag"]),
        ]
    )
    model = make_pipeline(columns, MLPClassifier((3,), max_iter=3, random_state=0))
    return network_from_estimator(quietly_fitted(model, table, np.arange(20) % 2))


ROWS = st.lists(
    st.tuples(
        st.sampled_from([*TEXTS, "strange"]),
        st.sampled_from(["none", "None", np.nan, "strange"]),
        st.one_of(st.just(np.nan), st.floats(-1e6, 1e6), st.integers(-9, 9).map(float)),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=counted(1000), suppress_health_check=list(HealthCheck))
@given(
    rows=ROWS, index=st.booleans(), separator=st.sampled_from(",;\t"), mark=st.booleans(), order=st.randoms()
)
def test_mixed_table_of_pandas_is_read_as_from_python(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, index: bool, separator: str, mark: bool, order: Any
) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, to write tables")
    network = _mixed_model()
    table = pandas.DataFrame(rows, columns=["text", "gaps", "number", "flag"]).astype(
        {"text": object, "gaps": object, "number": float, "flag": bool}
    )
    expected = network.take(table)
    names = list(table.columns)
    order.shuffle(names)
    path = tmp_path_factory.mktemp("tables") / "x.csv"
    encoding = "utf-8-sig" if mark else "utf-8"
    table[names].to_csv(path, index=index, sep=separator, encoding=encoding)
    np.testing.assert_array_equal(network.take(read_table(str(path), network)), expected)


NUMBERS = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(st.floats(-1e300, 1e300), min_size=width, max_size=width), min_size=1, max_size=8
    )
)


@settings(max_examples=counted(1000), suppress_health_check=list(HealthCheck))
@given(rows=NUMBERS, index=st.booleans(), header=st.booleans(), separator=st.sampled_from(",;\t"))
def test_table_of_numbers_of_pandas_is_read_as_from_python(
    tmp_path_factory: pytest.TempPathFactory, rows: Any, index: bool, header: bool, separator: str
) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, to write tables")
    X = np.array(rows)
    path = tmp_path_factory.mktemp("tables") / "x.csv"
    pandas.DataFrame(X).to_csv(path, index=index and header, header=header, sep=separator)
    columns = Columns(X.shape[1], tuple(Number(place) for place in range(X.shape[1])))
    for model in (Model(X.shape[1]), Model(X.shape[1], None, columns)):
        asked = "yes" if header and X.shape[1] == 1 else "auto"  # a line of 0 alone may be a row
        np.testing.assert_array_equal(read_table(str(path), model, header=asked), X)


@pytest.mark.parametrize("delimiter", ";\t")
def test_first_record_of_several_lines_shows_the_delimiter(delimiter: str, tmp_path: Path) -> None:
    text = f'"x\ny"{delimiter}2\nz{delimiter}3\n'
    columns = lookup("x\ny", "z")
    model = Model(2, None, Columns(2, (*columns.inputs, Number(1)), columns.lookups))
    assert read(text, model, tmp_path, header="no").tolist() == [["x\ny", 2], ["z", 3]]


def test_quote_that_nothing_closes_is_the_error_of_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.csv"):
        read('"' + "1,2\n" * 3000, Model(2), tmp_path)
