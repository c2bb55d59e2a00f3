"""Every step: its description leads back to it, and its bound holds for values within the error."""

from __future__ import annotations

import json
import re
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scirknn.steps.activations import HEADS, Activation
from scirknn.steps.branches import Branch, Finite
from scirknn.steps.calibration import Curves, Float32, Logarithm, Sigmoids
from scirknn.steps.chain import ANSWERS, Linked
from scirknn.steps.chances import LogSoftmax
from scirknn.steps.description import describe_steps, read_steps
from scirknn.steps.distances import Descent, Distances, LargestOfGroups, LessSquaredNorm
from scirknn.steps.elementwise import FUNCTIONS, Clip, Elementwise, Power
from scirknn.steps.gaps import Fill, Gaps
from scirknn.steps.indicators import Above
from scirknn.steps.kernels import Cosines, Kernel, KernelLogarithm, LabelShares, Quotients
from scirknn.steps.linear import Arithmetic, Columns, Dense, Scale, Shift
from scirknn.steps.members import Each, Groups, OfRows, Picked, WithRows
from scirknn.steps.neighbours import LocalOutlierFactor, NearestAnswers, NearestDistances
from scirknn.steps.norms import Skewed, SquaredNorms, UnitRows
from scirknn.steps.pairs import PairChances, PairConfidences, PairVotes
from scirknn.steps.polynomials import Pieces, Products
from scirknn.steps.quantiles import Bins, Quantiles
from scirknn.steps.radius_neighbours import RadiusMeans, RadiusVotes
from scirknn.steps.squares import LogNormal, LogSum, Squares
from scirknn.steps.step import KINDS, RowStep, Step, apply_steps, carry_steps, width_after
from scirknn.steps.votes import Votes, VoteShares, VoteWinners, WeightedMean, WeightedMedian

RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(3, 2))
PLACES = np.arange(12.0).reshape(4, 3) % 5
NEAREST = NearestAnswers(PLACES, np.zeros(3), 0.1, 1.0, "euclidean", 2, np.eye(4), "uniform")
STEPS: dict[str, Step] = {
    "shift": Shift((1.0, -2.0, 0.5)),
    "columns": Columns(1, 3),
    "dense": Dense(RANDOM.normal(size=(3, 2)), RANDOM.normal(size=2)),
    **{f"activation {head}": Activation(head) for head in HEADS},
    **{
        f"kernel {function} {parameter}": Kernel(
            (function,), (parameter,), RANDOM.normal(size=(3, 2)), RANDOM.normal(size=2)
        )
        for function, parameter in (
            *(("linear", 0.0), ("rbf", 0.0), ("rational", 0.7)),
            *(("power", 2.0), ("power", 3.0), ("matern", 0.5), ("matern", 1.5), ("matern", 2.5)),
        )
    },
    "kernel of three functions": Kernel(
        ("rbf", "linear", "matern"), (0.0, 0.0, 1.5), RANDOM.normal(size=(3, 2)), np.zeros(2)
    ),
    "kernel_logarithm gaussian": KernelLogarithm("gaussian", np.array([1.0, 2.0, 0.5]), -1.0),
    "kernel_logarithm exponential": KernelLogarithm("exponential", np.array([1.0, 2.0, 0.5]), 1.0),
    "label_shares": LabelShares(RANDOM.random((3, 2))),
    "cosines": Cosines(0.3),
    "squares": Squares((2, 1), (1.5, -3.0), -0.5),
    "log_normal": LogNormal(np.array([1.0, 2.0]), RANDOM.normal(size=(1, 2)), -1, 0.5),
    "log_sum": LogSum(),
    "above": Above(np.array([2, 0, 0, 1]), np.array([0.5, -1.0, 1.0, 0.0])),
    "squared_norms": SquaredNorms(RANDOM.random((3, 2))),
    "unit_rows": UnitRows(),
    "skewed": Skewed(40.0),
    "pair_votes": PairVotes(3, False),
    "pair_votes by confidence": PairVotes(3, True),
    "pair_votes of chances": PairVotes(3, True, 0.5),
    "pair_confidences": PairConfidences(3),
    "pair_confidences of chances": PairConfidences(3, 0.5),
    "pair_chances": PairChances(3, (-1.0, -2.0, 0.5), (0.1, 0.0, -0.2)),
    "log_softmax": LogSoftmax(),
    "distances": Distances(RANDOM.normal(size=(4, 2)), 8.0),
    "descent": Descent(np.array([[1, 0, 0], [-1, 1, 0], [-1, -1, 1], [-1, -1, -1]])),
    "less_squared_norm": LessSquaredNorm(np.array([1.0, 0.5])),
    "nearest_answers": NearestAnswers(
        POINTS, np.zeros(2), 0.1, 100.0, "euclidean", 2, RANDOM.normal(size=(3, 2)), "distance"
    ),
    "nearest_answers by cosines": NearestAnswers(
        POINTS, np.zeros(2), 0.1, 100.0, "cosine", 2, RANDOM.normal(size=(3, 2)), "uniform"
    ),
    "local_outlier_factor": LocalOutlierFactor(
        POINTS, np.zeros(2), 0.1, 100.0, "euclidean", 2, np.ones(3), np.array([1.0, 2.0, 3.0])
    ),
    "nearest_distances": NearestDistances(POINTS, np.zeros(2), 0.1, 100.0, "euclidean", 2, 1.0),
    "radius_votes": RadiusVotes(
        POINTS, np.zeros(2), 0.1, 100.0, "euclidean", 100.0, np.eye(3), "distance", 1
    ),
    "radius_votes of none": RadiusVotes(
        POINTS, np.zeros(2), 0.1, 100.0, "euclidean", 0.0, np.eye(3), "uniform", 1
    ),
    "radius_means by cosines": RadiusMeans(
        POINTS, np.zeros(2), 0.1, 100.0, "cosine", 2.0, RANDOM.normal(size=(3, 2)), "uniform"
    ),
    "largest_of_groups": LargestOfGroups(np.array([1, 0, 1])),
    "branch": Branch(np.array([2, 0]), np.array([1, 2]), (Shift((1.0, 2.0)), Elementwise("square"))),
    "finite": Finite("Ridge", False),
    **{
        f"arithmetic {operation}": Arithmetic(operation, np.array([3.0, -0.7, 1e-3]))
        for operation in ("subtract", "divide", "multiply", "add")
    },
    "fill": Fill(np.array([1.0, -2.0, 0.5])),
    "gaps": Gaps(),
    "scale": Scale(np.array([1.0, 2.0, 0.0]), np.array([0.5, -3.0, 1.0])),
    "products": Products(3, np.array([[3, 3, 3], [0, 3, 3], [0, 1, 3], [2, 2, 1]])),
    "pieces": Pieces(
        np.sort(RANDOM.normal(size=(3, 2)), axis=1),
        RANDOM.normal(size=(3, 3)),
        RANDOM.normal(size=(3, 3, 3, 2)),
        "periodic",
        np.array([[-1.0, 1.0]] * 3),
    ),
    **{
        f"elementwise {function}": Elementwise(function)
        for function in FUNCTIONS
        if not function.startswith(("log", "sqrt"))
    },
    "clip": Clip(-1.0, 2.0),
    "power": Power("yeo-johnson", (0.0, 2.0, -0.7), False),
    "power back": Power("yeo-johnson", (0.0, 2.0, 1.0), True),
    "power of Box and Cox back": Power("box-cox", (0.0, 0.0, 0.0), True),
    "quantiles": Quantiles(np.sort(RANDOM.normal(size=(5, 3)) * 3, axis=0), True, False),
    "quantiles back": Quantiles(np.sort(RANDOM.normal(size=(5, 3)), axis=0), True, True),
    "bins": Bins(np.array([-1.0, 0.0, 2.0, 1.0]), (3, 0, 1)),
    "unit_rows l1": UnitRows("l1"),
    "unit_rows max": UnitRows("max"),
    "each of all": Each(1, (Activation("softmax"), Shift((1.0, 2.0, 3.0)))),
    "each": Each(3, (Activation("logistic"), Dense(np.array([[1.0, -2.0]]), np.zeros(2)))),
    "groups": Groups((1, 0), (2, 3), (Activation("softmax"), Each(1, ()))),
    "groups of all": Groups((0, 0), (3, 3), (Columns(1, 3), Each(1, (Activation("softmax"),)))),
    "picked": Picked(np.array([2, 0, 2])),
    "of_rows": OfRows((Dense(PLACES.T, -np.square(PLACES).sum(axis=1) / 2), NEAREST)),
    "with_rows": WithRows(2),
    "weighted_mean": WeightedMean((1.0, 0.0, 2.0)),
    "weighted_median": WeightedMedian((1.0, 0.5, 2.0)),
    "votes of one": Votes(3, (1.0,)),
    "vote_shares": VoteShares(3, (2.0,)),
    "vote_winners": VoteWinners(3, (1.0,)),
    "sigmoids": Sigmoids(np.array([-1.0, 2.0, 0.0]), np.array([0.5, 0.0, 1.0])),
    "float32": Float32(),
    "quotients": Quotients(np.array([0.5, -1.0])),
    "curves": Curves(
        np.array([0.0, -1.0, 0.5, 2.0, 0.0, 1.0]),
        np.array([0.3, 0.0, 0.2, 1.0, 0.0, 1.0]),
        np.array([1, 3, 2]),
    ),
    "logarithm": Logarithm(1e-12),
    **{f"linked by {answer}": Linked(np.triu(RANDOM.normal(size=(3, 3)), 1), answer) for answer in ANSWERS},
}


def kernel(**changed: object) -> dict[str, object]:
    """Return the description of a kernel of three columns, with fields changed."""
    fields = {"functions": ["rbf"], "parameters": [0], "weights": "w", "bias": "v"}
    return {"kind": "kernel", **fields, **changed}


def groups(**changed: object) -> dict[str, object]:
    """Return the description of two groups of one column, with fields changed."""
    chain = {"kind": "each", "count": 1, "steps": []}
    return {"kind": "groups", "starts": [0, 1], "widths": [1, 1], "members": [chain, chain], **changed}


@pytest.mark.parametrize("name", STEPS)
def test_a_description_leads_back_to_the_step(name: str) -> None:
    description = describe_steps([STEPS[name]], "epilogue")
    (again,) = read_steps(json.loads(json.dumps(description.document)), description.arrays)
    values, rows = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(5, 2))
    answer = apply_steps([again], values, rows)
    assert type(again) is type(STEPS[name])
    np.testing.assert_array_equal(answer, apply_steps([STEPS[name]], values, rows))
    assert again.width(3) == answer.shape[1]
    assert not isinstance(again, RowStep) or again.inputs == 2


@pytest.mark.parametrize("name", STEPS)
@given(seed=st.integers(0, 2**16), size=st.sampled_from([1e-4, 0.1, 3.0]))
def test_the_carried_bound_holds_for_any_values_within_the_error(name: str, seed: int, size: float) -> None:
    random = np.random.default_rng(seed)
    values, error = random.normal(size=(20, 3)) * 3, size * random.random((20, 3))
    rows = random.normal(size=(20, 2))
    here, bound = carry_steps([STEPS[name]], values, error, rows)
    there = apply_steps([STEPS[name]], values + error * random.uniform(-1, 1, size=error.shape), rows)
    assert (np.abs(there - here) <= bound * (1 + 1e-12) + 1e-14).all()


def test_an_error_of_nothing_known_stays_unknown() -> None:
    _, bound = carry_steps([Activation("softmax"), Columns(0, 1)], np.zeros((1, 3)), np.full((1, 3), np.inf))
    assert bound == pytest.approx(np.array([[1.0]])) or np.isinf(bound).all()


def test_steps_compute_in_float64_and_return_the_dtype_of_before() -> None:
    values = np.array([[1 + 2.0**-20, 0.0, 0.0]], dtype=np.float32)
    result = apply_steps([Shift((-1.0, 0.0, 0.0))], values)
    assert result.dtype == np.float32
    assert result[0, 0] == np.float32(2.0**-20)
    assert apply_steps([], values) is values


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({}, "for a list of at most 4096 steps"),
        ([{"kind": "shift", "offsets": [1]}] * 4097, "for a list of at most 4096 steps"),
        ([{"kind": "eval"}], "which this scirknn does not know"),
        ([{"kind": ["shift"]}], "which this scirknn does not know"),
        (["shift"], "which this scirknn does not know"),
        ([{"kind": "shift"}], "has the fields ['kind']"),
        ([{"kind": "shift", "offsets": [1], "more": 1}], "has the fields"),
        ([{"kind": "shift", "offsets": "1"}], "has '1' for its offsets"),
        ([{"kind": "shift", "offsets": [True]}], "has [True] for its offsets"),
        ([{"kind": "shift", "offsets": [10**400]}], "for its offsets"),
        ([{"kind": "shift", "offsets": [float("inf")]}], "for its offsets"),
        ([{"kind": "columns", "start": 1.0, "stop": 2}], "has 1.0 for its start"),
        ([{"kind": "columns", "start": 2, "stop": 2}], "takes the columns 2 to 2"),
        ([{"kind": "dense", "weights": "w", "bias": "missing"}], "has 'missing' for its bias"),
        ([{"kind": "dense", "weights": "w", "bias": "i"}], "has 'i' for its bias"),
        ([{"kind": "dense", "weights": "w", "bias": "w"}], "has shapes (3, 2) and (3, 2)"),
        ([{"kind": "activation", "function": "relu6"}], "has 'relu6' for its function, not one of"),
        ([kernel(functions=[])], "has 0 functions, 1 parameters and 3 columns"),
        (
            [kernel(functions=["rbf", "rbf"], parameters=[0, 0])],
            "has 2 functions, 2 parameters and 3 columns",
        ),
        ([kernel(functions=["eval"])], "has the function 'eval' of 0.0"),
        ([kernel(functions=["power"], parameters=[2.5])], "has the function 'power' of 2.5"),
        ([kernel(functions=["power"], parameters=[1e9])], "has the function 'power' of 1000000000.0"),
        ([kernel(functions=["matern"], parameters=[1])], "has the function 'matern' of 1.0"),
        ([kernel(functions=["rational"])], "has the function 'rational' of 0.0"),
        ([kernel(bias="w")], "has shapes (3, 2) and (3, 2)"),
        (
            [{"kind": "kernel_logarithm", "function": "tophat", "weights": "v", "bias": 0}],
            "'tophat' for its function, not one of",
        ),
        (
            [{"kind": "kernel_logarithm", "function": "gaussian", "weights": "n", "bias": 0}],
            "of shape (3,) or",
        ),
        ([{"kind": "label_shares", "distributions": "v"}], "has shape (2,) or what is negative"),
        ([{"kind": "quotients", "bias": "w"}], "has a bias of shape (3, 2)"),
        ([{"kind": "cosines", "factor": 0}], "has the factor 0.0"),
        ([{"kind": "squared_norms", "weights": "n"}], "has shape (3,) or what is negative"),
        ([{"kind": "squares", "groups": [], "constants": [], "factor": 1}], "has 0 constants for 0 groups"),
        ([{"kind": "squares", "groups": [3, 0], "constants": [1, 2], "factor": 1}], "of at least 0 columns"),
        ([{"kind": "squares", "groups": [3], "constants": [1, 2], "factor": 1}], "2 constants for 1 groups"),
        (
            [{"kind": "log_normal", "diagonal": "v", "matrix": "w", "sign": 0, "constant": 1}],
            "shapes (2,) and (3, 2) and the sign 0",
        ),
        ([{"kind": "above", "columns": "i", "thresholds": "n"}], "has shapes (2,) and (3,)"),
        ([{"kind": "above", "columns": "m", "thresholds": "v"}], "takes column -1"),
        ([{"kind": "one_hot", "sizes": []}], "has 0 columns or"),
        ([{"kind": "one_hot", "sizes": [3, 0]}], "or one without categories"),
        ([{"kind": "pair_votes", "classes": 1, "by_confidence": False, "middle": 0}], "has 1 classes"),
        ([{"kind": "pair_confidences", "classes": 1 << 40, "middle": 0}], "has 1099511627776 classes"),
        (
            [{"kind": "pair_chances", "classes": 3, "slopes": [1], "offsets": [1, 2, 3]}],
            "1 slopes for 3 pairs",
        ),
        ([{"kind": "distances", "points": "v", "unit": 1.0}], "has points of shape (2,)"),
        ([{"kind": "less_squared_norm", "factors": "w"}], "has factors of shape (3, 2)"),
        ([{"kind": "descent", "signs": "i"}], "has no paths in signs of shape (2,)"),
        ([{"kind": "largest_of_groups", "groups": "i"}], "numbers of groups that are not 0, 1, 2"),
        ([{"kind": "branch", "kept": "e", "taken": "e", "steps": []}], "has shapes (0,) and (0,)"),
        ([{"kind": "branch", "kept": "m", "taken": "i", "steps": []}], "takes a negative column"),
        (
            [{"kind": "branch", "kept": "e", "taken": "i", "steps": [{"kind": "products"}]}],
            "the step 'products' has the fields ['kind']",
        ),
        ([{"kind": "scale", "offset": "v", "scale": "n"}], "has shapes (2,) and (3,)"),
        ([{"kind": "products", "columns": 0, "factors": "o"}], "that are no columns of 0"),
        (
            [
                {
                    "kind": "pieces",
                    "edges": "w",
                    "anchors": "w",
                    "coefficients": "w",
                    "beyond": "",
                    "ends": "w",
                }
            ],
            "has shapes (3, 2) and (3, 2)",
        ),
        ([{"kind": "elementwise", "function": "save"}], "'save' for its function, not one of"),
        ([{"kind": "clip", "low": 1, "high": 0}], "has the limits 1.0 and 0.0"),
        (
            [{"kind": "power", "method": "log", "lambdas": [1], "inverse": False}],
            "'log' for its method, not one of",
        ),
        ([{"kind": "quantiles", "quantiles": "d", "normal": True, "inverse": False}], "is not ascending"),
        ([{"kind": "bins", "edges": "v", "counts": [1]}], "has (2,) edges for 1 columns"),
        ([{"kind": "unit_rows", "norm": "l3"}], "has 'l3' for its norm, not one of l1, l2, max"),
        ([{"kind": "chi_squared", "samples": 0, "interval": 1}], "has 0 samples at 1.0"),
        ([{"kind": "each", "count": 0, "steps": []}], "has 0 groups"),
        ([groups(starts=[0])], "has 2 members for 1 starts and 2 widths"),
        ([groups(members=[])], "has 0 members for 2 starts"),
        ([groups(starts=[0, -1])], "starts at -1, 1 wide"),
        ([groups(widths=[0, 1])], "starts at 0, 0 wide"),
        (
            [{"kind": "each", "count": 1, "steps": [{"kind": "with_rows", "columns": 2}]}],
            "holds a step that takes rows",
        ),
        ([{"kind": "picked", "columns": "m"}], "or below 0"),
        (
            [{"kind": "arithmetic", "operation": "divide", "operands": "f", "are_rounded": False}],
            "or one of no use to divide by",
        ),
        (
            [{"kind": "arithmetic", "operation": "power", "operands": "v", "are_rounded": False}],
            "'power' for its operation, not one of",
        ),
        ([{"kind": "fill", "values": "w"}], "has (3, 2) values"),
        ([{"kind": "with_rows", "columns": 0}], "appends 0 columns"),
        ([{"kind": "weighted_mean", "weights": []}], "has 0 weights"),
        ([{"kind": "weighted_median", "weights": [1, -1]}], "one below 0"),
        ([{"kind": "votes", "classes": 2, "weights": [0]}], "or none above"),
        ([{"kind": "vote_shares", "classes": 0, "weights": [1]}], "has 0 classes"),
        ([{"kind": "sigmoids", "slopes": "v", "offsets": "w"}], "has shapes (2,) and (3, 2)"),
        ([{"kind": "curves", "points": "v", "heights": "n", "sizes": "i"}], "for sizes [1, 1]"),
        ([{"kind": "curves", "points": "f", "heights": "v", "sizes": "t"}], "a curve that falls"),
        ([{"kind": "logarithm", "shift": 0}], "has the shift 0.0"),
        ([{"kind": "linked", "weights": "w", "answer": "label"}], "has weights of shape (3, 2)"),
        ([{"kind": "linked", "weights": "s", "answer": "label"}], "or of what is not before"),
        ([{"kind": "linked", "weights": "z", "answer": "vote"}], "has 'vote' for its answer, not one of"),
    ],
)
def test_a_description_that_is_none_is_refused(document: object, text: str) -> None:
    arrays = {
        "w": np.ones((3, 2)),
        "v": np.ones(2),
        "n": -np.ones(3),
        "i": np.ones(2, np.int64),
        "m": np.array([0, -1]),
        "e": np.zeros(0, np.int64),
        "o": np.ones((2, 2), np.int64),
        "d": -np.arange(6.0).reshape(3, 2),
        "f": np.array([1.0, 0.0]),
        "t": np.array([2]),
        "s": np.ones((2, 2)),
        "z": np.zeros((2, 2)),
    }
    with pytest.raises(ValueError, match=re.escape(text)):
        read_steps(document, arrays)


@pytest.mark.parametrize(
    "name",
    [
        *("shift", "columns", "dense", "kernel rbf 0.0", "kernel_logarithm gaussian", "label_shares"),
        *("squared_norms", "pair_votes", "pair_confidences", "pair_chances"),
        *("descent", "largest_of_groups", "nearest_answers"),
        *("squares", "above", "nearest_distances", "radius_votes"),
        *("branch", "scale", "products", "pieces", "power", "quantiles", "bins"),
        *("squares", "above"),
        *("each", "groups", "picked", "of_rows", "fill", "weighted_mean", "weighted_median"),
        *("votes of one", "vote_shares", "vote_winners", "sigmoids", "curves"),
    ],
)
def test_a_step_that_does_not_take_so_many_columns_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"the step '{STEPS[name].kind}'"):
        width_after([STEPS[name]], 2)


def test_steps_of_rows_answer_part_by_part_and_surely_but_at_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    step, rows = STEPS["of_rows"], np.vstack([PLACES + 0.1, PLACES[:2].mean(axis=0), PLACES[0]])
    answers = step.apply(rows)
    assert (answers[range(4), range(4)] == 0.5).all()
    monkeypatch.setattr("scirknn.steps.members._NUMBERS", 8)
    np.testing.assert_array_equal(step.apply(rows), answers)
    bound = step.carry(rows, np.eye(6, 3, -5))
    assert (bound[:4] == 0).all()
    assert np.isinf(bound[4:]).all()


@pytest.mark.parametrize(("answer", "is_tie"), [(2.0, False), (5.0, True)])
def test_equal_distances_are_a_tie_where_the_answers_differ(answer: float, is_tie: bool) -> None:
    points, rows = np.array([[0.0], [1.0], [1.0], [3.0]]), np.array([[0.2]])
    answers = np.array([[1.0], [2.0], [answer], [0.0]])
    step = NearestAnswers(points, np.zeros(1), 0.0, 1.0, "euclidean", 2, answers, "uniform")
    scores = rows @ points.T - np.square(points[:, 0]) / 2
    assert step.are_ties(scores, rows).tolist() == [is_tie]


def test_every_kind_is_found_and_has_fields_that_a_bundle_holds() -> None:
    read_steps([], {})
    assert {"activation", "columns", "dense", "shift"} <= set(KINDS)
    for kind in KINDS.values():
        for form in fields(kind):  # type: ignore[arg-type]
            assert form.type in (
                *("bool", "int", "float", "str", "Floats", "Ints", "tuple[Step, ...]"),
                *(f"tuple[{each}, ...]" for each in ("bool", "int", "float", "str")),
            )
