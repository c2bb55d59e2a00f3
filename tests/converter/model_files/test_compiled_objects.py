"""Trees and neighbors from files predict as before; a damaged one is refused, never followed."""

from __future__ import annotations

import copyreg
import io
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree._tree import Tree

from sklearn2rknn import ModelFileError, UnsupportedModelError
from sklearn2rknn.estimators.model_file import load_model
from tests.converter.model_files.tree_models import FLOWERS, KINDS, MODELS, PEOPLE, answers, fitted
from tests.counts import counted


def _pickled(protocol: int) -> Callable[[Any, Path], Any]:
    return lambda model, path: path.write_bytes(pickle.dumps(model, protocol))


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".pkl", _pickled(2)),
        (".pkl", _pickled(5)),
        (".joblib", joblib.dump),
        (".skops", skops.io.dump),
    ],
    ids=["protocol 2", "protocol 5", "joblib", "skops"],
)
@pytest.mark.parametrize("name", MODELS)
def test_model_of_a_file_answers_as_before(
    name: str, suffix: str, write: Callable[[Any, Path], Any], tmp_path: Path
) -> None:
    path, model = tmp_path / f"model{suffix}", fitted(name)
    write(model, path)
    X = MODELS[name][1]
    for read, expected in zip(answers(load_model(path), X), answers(model, X), strict=True):
        np.testing.assert_array_equal(read, expected)


def test_categories_of_a_data_frame_are_read_with_their_encoder(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, to write tables")
    table = pandas.DataFrame(
        {"size": FLOWERS[:, 0], "kind": pandas.Categorical(np.array(list("xyz"))[KINDS])}
    )
    model = HistGradientBoostingClassifier(max_iter=2, categorical_features="from_dtype").fit(table, KINDS)
    for suffix, write in ((".pkl", _pickled(4)), (".skops", skops.io.dump)):
        write(model, tmp_path / f"model{suffix}")
        read = load_model(tmp_path / f"model{suffix}")
        np.testing.assert_array_equal(read.predict_proba(table), model.predict_proba(table))


Change = Callable[[Any], Any]


def pickled_with(model: Any, kind: type, change: Change) -> bytes:
    """Pickle a model, the state of each object of `kind` in it changed."""

    def reduce(made: Any) -> Any:
        if kind is TreePredictor:
            return *made.__reduce_ex__(2)[:2], change(dict(vars(made)))
        function, arguments, state = made.__reduce__()
        arguments, state = change((arguments, state))
        return function, arguments, state

    file = io.BytesIO()
    pickler = pickle.Pickler(file, 4)
    pickler.dispatch_table = {**copyreg.dispatch_table, kind: reduce}
    pickler.dump(model)
    return file.getvalue()


def _in_nodes(field: str, place: int, value: Any) -> Change:
    def change(parts: Any) -> Any:
        arguments, state = parts
        nodes = state["nodes"].copy()
        nodes[field][place] = value
        return arguments, {**state, "nodes": nodes}

    return change


def _in_tree(**changed: Any) -> Change:
    return lambda parts: (parts[0], {**parts[1], **{k: f(parts[1][k]) for k, f in changed.items()}})


def _sizes(*changes: Any) -> Change:
    return lambda parts: (
        tuple(old if new is None else new for old, new in zip(parts[0], changes, strict=True)),
        parts[1],
    )


def _in_predictor(field: str, place: int, value: Any) -> Change:
    def change(state: Any) -> Any:
        nodes = state["nodes"].copy()
        nodes[field][place] = value
        return {**state, "nodes": nodes}

    return change


def _in_neighbors(place: int, change: Callable[[Any], Any]) -> Change:
    def changed(parts: Any) -> Any:
        arguments, state = parts
        return arguments, (*state[:place], change(state[place]), *state[place + 1 :])

    return changed


def _with(place: Any, value: Any) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array = array.copy()
        array[place] = value
        return array

    return change


def _as_float32(array: Any) -> Any:
    return array.astype("f4")


HOSTILE: dict[str, tuple[str, type, Change, str]] = {
    "child beyond the nodes": ("tree", Tree, _in_nodes("left_child", 0, 1 << 40), "child of one other"),
    "child below the leaf's mark": ("tree", Tree, _in_nodes("left_child", 0, -7), "child of one other"),
    "cycle of two": ("tree", Tree, _in_nodes("left_child", 2, 0), "child of one other"),
    "cycle to itself": ("tree", Tree, _in_nodes("right_child", 2, 2), "child of one other"),
    "one child": ("tree", Tree, _in_nodes("left_child", 0, -1), "one child"),
    "one child twice": ("tree", Tree, _in_nodes("right_child", 0, 1), "child of one other"),
    "feature beyond the rows": ("tree", Tree, _in_nodes("feature", 0, 4), "another feature than the 4"),
    "negative feature": ("tree", Tree, _in_nodes("feature", 0, -2), "another feature"),
    "more nodes than there are": ("tree", Tree, _in_tree(node_count=lambda n: n + 1), "node_count is"),
    "fewer nodes than there are": ("tree", Tree, _in_tree(node_count=lambda n: n - 1), "and counts"),
    "depth of a smaller tree": ("tree", Tree, _in_tree(max_depth=lambda n: n - 1), "levels deep"),
    "depth of text": ("tree", Tree, _in_tree(max_depth=str), "levels deep"),
    "values of float32": ("tree", Tree, _in_tree(values=_as_float32), "values is float32"),
    "values cut off": ("tree", Tree, _in_tree(values=lambda v: v[:-1]), "values has shape"),
    "values as a list": ("tree", Tree, _in_tree(values=lambda v: v.tolist()), "values is list"),
    "nodes as numbers": ("tree", Tree, _in_tree(nodes=lambda v: v["threshold"]), "nodes is float64"),
    "nodes of two axes": ("tree", Tree, _in_tree(nodes=lambda v: v.reshape(1, -1)), "nodes has shape"),
    "no nodes": ("tree", Tree, _in_tree(nodes=lambda v: v[:0]), "values has shape|child of one"),
    "more outputs": ("tree", Tree, _sizes(None, None, 1 << 30), "n_classes has shape"),
    "no outputs": ("tree", Tree, _sizes(None, None, 0), "n_outputs is 0"),
    "more features": ("tree", Tree, _sizes(1 << 20, None, None), "is of 1048576 features"),
    "features of text": ("tree", Tree, _sizes("4", None, None), "n_features is '4'"),
    "classes of none": ("tree", Tree, _sizes(None, np.array([0]), None), "has no classes"),
    "more classes": ("tree", Tree, _sizes(None, np.array([1 << 40]), None), "values has shape"),
    "member of other features": ("forest", Tree, _sizes(9, None, None), "no tree of 4 features"),
    "member's feature": ("forest", Tree, _in_nodes("feature", 0, 77), "another feature"),
    "boosting's feature": ("boosting", Tree, _in_nodes("feature", 0, 77), "another feature"),
    "isolation's feature": ("isolation of some", Tree, _in_nodes("feature", 0, 2), "another feature"),
    "histogram's child": ("histogram", TreePredictor, _in_predictor("left", 0, 1 << 31), "child of one"),
    "histogram's cycle": ("histogram", TreePredictor, _in_predictor("right", 0, 0), "child of one"),
    "histogram's leaf": ("histogram", TreePredictor, _in_predictor("is_leaf", 0, 1), "child of one"),
    "histogram's feature": (
        "histogram", TreePredictor, _in_predictor("feature_idx", 0, 4), "another feature",
    ),
    "histogram's category": (
        "histogram", TreePredictor, _in_predictor("is_categorical", 0, 1), "numbers by categories",
    ),
    "category beyond the sets": (
        "categories", TreePredictor,
        lambda state: {**state, "raw_left_cat_bitsets": state["raw_left_cat_bitsets"][:0]},
        "categories that are not there|shape",
    ),
    "sets of too few words": (
        "categories", TreePredictor,
        lambda state: {**state, "raw_left_cat_bitsets": state["raw_left_cat_bitsets"][:, :4].copy()},
        "raw_left_cat_bitsets has shape",
    ),
    "histogram's nodes of floats": (
        "histogram", TreePredictor, lambda state: {**state, "nodes": state["nodes"]["value"]},
        "nodes is float64",
    ),
    "rows of float32": ("neighbors", KDTree, _in_neighbors(0, _as_float32), "data is float32"),
    "no rows": ("neighbors", KDTree, _in_neighbors(0, lambda a: a[:0]), "training rows are none"),
    "rows of one axis": ("neighbors", KDTree, _in_neighbors(0, np.ravel), "data has shape"),
    "rows of NaN": ("neighbors", KDTree, _in_neighbors(0, _with((3, 1), np.nan)), "no finite numbers"),
    "row beyond the rows": ("neighbors", KDTree, _in_neighbors(1, _with(0, 1 << 40)), "each training row"),
    "row twice": ("neighbors", KDTree, _in_neighbors(1, _with(0, 5)), "each training row"),
    "index of int32": ("neighbors", KDTree, _in_neighbors(1, lambda a: a.astype("i4")), "idx_array is int32"),
    "node's end": ("neighbors", KDTree, _in_neighbors(2, _with(0, (0, 1 << 40, 0, 1.0))), "other rows than"),
    "node's start": ("neighbors", KDTree, _in_neighbors(2, _with(0, (-1, 9, 0, 1.0))), "other rows than"),
    "bounds of fewer nodes": ("neighbors", KDTree, _in_neighbors(3, lambda a: a[:, :-1].copy()), "_bounds"),
    "leaf size 0": ("neighbors", KDTree, _in_neighbors(4, lambda _: 0), "leaf_size is 0"),
    "another leaf size": ("neighbors", KDTree, _in_neighbors(4, lambda _: 150), "a leaf size of 150"),
    "more levels": ("neighbors", KDTree, _in_neighbors(5, lambda _: 60), "nodes are not what"),
    "more nodes in the index": ("neighbors", KDTree, _in_neighbors(6, lambda _: 1 << 38), "_data has shape"),
    "metric of text": ("neighbors", KDTree, _in_neighbors(11, lambda _: "euclidean"), "its metric is str"),
    "metric of the other tree": (
        "neighbors", KDTree,
        _in_neighbors(11, lambda _: fitted("mahalanobis")._tree.__getstate__()[11]), "no metric Mahalanobis",
    ),
    "metric of another width": (
        "neighbors in balls", BallTree,
        _in_neighbors(11, lambda _: fitted("mahalanobis")._tree.__getstate__()[11]), "metric cannot be made",
    ),
    "weights of fewer rows": ("neighbors", KDTree, _in_neighbors(12, lambda _: np.ones(3)), "_weight has"),
    "state of before": ("neighbors", KDTree, lambda parts: (parts[0], parts[1][:12]), "not that of this"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_state_of_a_compiled_object_is_refused_before_the_object_is_made(
    case: str, tmp_path: Path
) -> None:
    name, kind, change, expected = HOSTILE[case]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickled_with(fitted(name), kind, change))
    with pytest.raises(ModelFileError, match=rf"model\.pkl.*({expected})"):
        load_model(path)


ATTRIBUTES: dict[str, tuple[str, str, Any, str]] = {
    "classes of fewer": ("neighbors", "classes_", np.arange(2), "no places among its classes"),
    "answers of fewer rows": ("neighbors without a tree", "_y", np.zeros(3, int), "answers are not those"),
    "answers of no class": (
        "neighbors without a tree", "_y", np.full(150, 9), "no places among its classes",
    ),
    "training rows of others": ("neighbors without a tree", "_fit_X", PEOPLE, "not of 4 features"),
    "fewer training rows": ("neighbors", "_fit_X", FLOWERS[:7].copy(), "not those that it counts"),
    "tree that is none": ("neighbors", "_tree", 5, "not of 4 features"),
    "features of another": ("tree", "n_features_in_", 3, "its tree is of 4 features"),
    "no tree": ("tree", "tree_", None, "tree_ is NoneType"),
    "members that are none": ("forest", "estimators_", [5], "no tree of 4 features"),
    "no members": ("forest", "estimators_", [], "no list of trees"),
    "columns of others": ("boosting", "n_trees_per_iteration_", 2, "estimators_ has shape"),
    "loss of fewer classes": ("boosting", "_loss", fitted("boosting of two")._loss, "not of 3 columns"),
    "first answers of fewer classes": ("boosting", "init_", fitted("boosting of two").init_, "no 3 classes"),
    "subsets beyond": (
        "isolation of some", "estimators_features_", [np.array([0, 9])] * 3, "another feature than the 4",
    ),
    "rounds of fewer trees": ("histogram", "_predictors", [[]], "no lists of 3 trees"),
    "predictors that are none": ("histogram", "_predictors", [[5, 5, 5]], "holds a int"),
    "no mapper": ("histogram", "_bin_mapper", None, "is_categorical_ is NoneType"),
    "density without rows": ("density", "tree_", None, "none of its features"),
}  # fmt: skip


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_estimator_that_its_parts_do_not_fit_is_refused(case: str, tmp_path: Path) -> None:
    name, attribute, value, expected = ATTRIBUTES[case]
    model = pickle.loads(pickle.dumps(fitted(name)))
    vars(model)[attribute] = value
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    with pytest.raises(ModelFileError, match=rf"model\.pkl.*{expected}"):
        load_model(path)


DAMAGED = {
    "tree": Tree, "best-first tree": Tree, "forest": Tree, "isolation": Tree, "boosting": Tree,
    "histogram": TreePredictor, "categories": TreePredictor, "neighbors": KDTree, "minkowski": KDTree,
    "neighbors in balls": BallTree, "density": BallTree,
}  # fmt: skip
NUMBERS = st.one_of(st.integers(-3, 200), st.sampled_from([1 << 31, 1 << 40, -(1 << 40), (1 << 62) - 1]))


def _damage(value: Any, data: st.DataObject) -> Any:
    """Return a value of a state, drawn to be another in one place, size or type."""
    if isinstance(value, np.ndarray) and value.size and value.dtype != object:
        how = data.draw(st.sampled_from(["number", "number", "number", "shorter", "dtype", "order"]))
        if how == "shorter":
            return value[: data.draw(st.integers(0, len(value) - 1))]
        if how == "dtype":
            return value[value.dtype.names[0]] if value.dtype.names else value.astype("f4")
        if how == "order":
            return np.asfortranarray(value[::-1])
        value = value.copy()
        target = value[data.draw(st.sampled_from(value.dtype.names))] if value.dtype.names else value
        place = data.draw(st.integers(0, target.size - 1))
        number = data.draw(NUMBERS)
        with np.errstate(all="ignore"):
            target.flat[place] = np.array(number).astype(target.dtype)
        return value
    if isinstance(value, (int, type(None))):
        return data.draw(st.one_of(NUMBERS, st.just("x"), st.none(), st.just(1.5)))
    return data.draw(st.sampled_from([None, "x", 5]))


@settings(max_examples=counted(400), suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_drawn_damage_is_refused_or_predicts_within_its_arrays(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(DAMAGED)))

    def change(parts: Any) -> Any:
        if type(parts) is dict:
            key = data.draw(st.sampled_from(sorted(parts)))
            return {**parts, key: _damage(parts[key], data)}
        arguments, state = parts
        if type(state) is tuple:
            place = data.draw(st.integers(0, len(state) - 1))
            return arguments, (*state[:place], _damage(state[place], data), *state[place + 1 :])
        place = data.draw(st.integers(-3, 3))
        if place < 0:
            changed = list(arguments)
            changed[place] = _damage(changed[place], data)
            return tuple(changed), state
        key = sorted(state)[place]
        return arguments, {**state, key: _damage(state[key], data)}

    path = tmp_path_factory.mktemp("models") / "model.pkl"
    path.write_bytes(pickled_with(fitted(name), DAMAGED[name], change))
    try:
        model = load_model(path)
    except (ModelFileError, UnsupportedModelError):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # other numbers may overflow
        X = MODELS[name][1]
        outputs = [each if type(each) is list else [each] for each in answers(model, X)]
        assert all(len(output) == len(X) for each in outputs for output in each)
