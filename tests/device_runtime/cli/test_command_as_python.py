"""``python3 -m scirknn predict`` answers as ``scirknn.load(...).predict(pandas.read_csv(...))`` does."""

from __future__ import annotations

import csv
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

import scirknn
from scirknn.cli.commands import main
from sklearn2rknn import network_from_estimator
from tests.converter.fitted_pipelines import quietly_fitted
from tests.counts import counted
from tests.device_runtime.conftest import MakeBundle

NAMES = ["text", "gaps", "number", "flag"]
TEXTS = (
    "none", "None", "NA", "nan", " Private", "Private", "a,b", "a;b", 'q"x', "é", "True", "1", "x\ny", "#N/A",
)  # fmt: skip
CELLS = {
    "text": st.sampled_from([*TEXTS, "strange"]),
    "gaps": st.sampled_from(["", "none", "None", "strange"]),
    "number": st.one_of(
        st.sampled_from(["", "NA", "NaN", "null"]),
        st.floats(-1e6, 1e6).map(repr),
        st.integers(-99, 99).map(str),
        st.floats(-1e6, 1e6).map("{:e}".format),
    ),
}
ROWS = st.lists(st.tuples(*CELLS.values(), st.booleans()), min_size=1, max_size=12)
FLAGS = (("False", "True"), ("false", "true"), ("0", "1"), ("0.0", "1.0"))


def _model(pandas: Any) -> Any:
    """Return a fitted pipeline of texts with and without gaps, a number with gaps, and a flag."""
    count = len(TEXTS) * 2
    table = pandas.DataFrame(
        {
            "text": pandas.Series(TEXTS * 2, dtype=object),
            "gaps": pandas.Series(["none", np.nan] * len(TEXTS), dtype=object),
            "number": np.where(np.arange(count) % 3, 1000.0 * np.arange(count), np.nan),
            "flag": np.arange(count) % 2 == 0,
        }
    )
    columns = ColumnTransformer(
        [
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["text", "gaps"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["number", "flag"]),
        ]
    )
    labels = np.array(["yes", "no, never", " perhaps"])[np.arange(count) % 3]
    return quietly_fitted(
        make_pipeline(columns, MLPClassifier((8,), max_iter=60, random_state=0)), table, labels
    )


def _read_by_pandas(pandas: Any, data: bytes, separator: str, has_header: bool) -> Any:
    """Return the table as a program would read it for this model: texts verbatim, gaps where they can be."""
    missing = {"gaps": [""], "number": ["", "NA", "NaN", "null"]}
    table = pandas.read_csv(
        io.BytesIO(data),
        sep=separator,
        header=0 if has_header else None,
        names=None if has_header else NAMES,
        dtype=dict.fromkeys(missing | {"text": None}, str),
        keep_default_na=False,
        na_values=missing,
        encoding="utf-8-sig",
    )
    return table.astype({"number": float, "flag": float})


def test_command_line_answers_as_python_does_on_drawn_tables(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, to read tables")
    pipeline = _model(pandas)
    network = network_from_estimator(pipeline)
    bundle = make_bundle(
        pipeline[-1], samples=(4,), input=network.input, columns=network.columns, column_names=tuple(NAMES)
    )
    path, output = tmp_path / "in.csv", tmp_path / "out.csv"

    @settings(max_examples=counted(1000), suppress_health_check=list(HealthCheck))
    @given(
        rows=ROWS,
        flags=st.sampled_from(FLAGS),
        order=st.permutations(range(len(NAMES))),
        form=st.tuples(
            st.sampled_from(",;\t"),
            st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
            st.sampled_from(["\n", "\r\n"]),
        ),
        choices=st.tuples(st.booleans(), st.booleans(), st.booleans()),
        what=st.sampled_from(["predict", "predict_proba", "raw_output"]),
    )
    def check(rows: Any, flags: Any, order: Any, form: Any, choices: Any, what: str) -> None:
        has_header, has_mark, is_stream = choices
        separator, quoting, end = form
        places = list(order) if has_header else list(range(len(NAMES)))
        text = io.StringIO()
        writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end)
        cells = [[*row[:3], flags[row[3]]] for row in rows]
        for line in [NAMES] * has_header + cells:
            writer.writerow([line[place] for place in places])
        data = ("\ufeff" * has_mark + text.getvalue()).encode()
        path.write_bytes(data)
        if is_stream:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        option = {"predict": [], "predict_proba": ["--proba"], "raw_output": ["--raw"]}[what]
        header = [] if has_header else ["--header", "no"]
        given_path = "-" if is_stream else str(path)
        assert main(["predict", str(bundle), given_path, str(output), *option, *header]) == 0
        with scirknn.load(bundle) as model:
            expected = getattr(model, what)(_read_by_pandas(pandas, data, separator, has_header))
        with output.open(encoding="utf-8", newline="") as file:
            _, *answers = list(csv.reader(file))
        if what == "predict":
            assert answers == [[label] for label in expected.tolist()]
        else:
            np.testing.assert_array_equal(np.array(answers, dtype=float), expected)

    check()
