"""The pickle machine: hostile programs end in an error, call nothing and change nothing."""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sklearn2rknn import ModelFileError
from sklearn2rknn.estimators.model_file import load_model, readable_classes
from sklearn2rknn.model_files.inert import NamedStandIn, Record, Workshop
from sklearn2rknn.model_files.model_names import FUNCTIONS, TYPES
from sklearn2rknn.model_files.pickle_machine import PickleMachine
from tests.converter.model_files.assembler import MLP, SCALER, Program
from tests.counts import counted

WIRE = "tests.converter.model_files.tripwire"
KFOLD = "sklearn.model_selection._split KFold"
ARRAY = ("numpy._core.multiarray _reconstruct", "@numpy ndarray", (0,), b"b")
WRAPPER = "joblib.numpy_pickle NumpyArrayWrapper"


def array(shape: Any, dtype: str, data: Any, order: Any = False) -> Program:
    program = Program().call(*ARRAY).op(b"(").number(1).value(shape).call("numpy dtype", dtype, False, True)
    return program.value(order).value(data).op(b"tb")


def wrapped(shape: Any, dtype: str, order: Any = "C", subclass: str = "@numpy ndarray") -> Program:
    program = Program().new(WRAPPER).op(b"}(").text("subclass").value(subclass).text("shape").value(shape)
    return program.text("order").value(order).text("dtype").call("numpy dtype", dtype, False, True).op(b"ub")


def _calls() -> Iterator[tuple[str, Program]]:
    names = (
        "builtins eval", "builtins exec", "builtins getattr", "builtins setattr", "builtins __import__",
        "builtins compile", "builtins open", "builtins map", "builtins type", "os system", "posix system",
        "subprocess Popen", "importlib import_module", "operator attrgetter", "operator methodcaller",
        "functools partial", "functools reduce", "types FunctionType", "pickle loads", "numpy load",
        "numpy fromfile", "numpy memmap", "joblib load", "copyreg __newobj__", "copyreg _reconstructor",
        "_codecs decode",
        f"{WIRE} function", f"{WIRE} Class", "numpy ndarray", "numpy float64", "builtins object",
        "numpy log1p",
        "sklearn.base clone", "numpy._core.multiarray fromstring", "builtins bytes.fromhex",
        "sklearn.neural_network._multilayer_perceptron MLPRegressor.fit",
    )  # fmt: skip
    for name in names:
        yield f"REDUCE {name}", Program().call(name, "1")
    for name in (
        f"{WIRE} Class",
        "builtins list",
        "numpy ndarray",
        "collections OrderedDict",
        "numpy float64",
    ):
        yield f"NEWOBJ {name}", Program().new(name)
    yield "NEWOBJ with arguments", Program().name(MLP).value((1,)).op(b"\x81")
    yield "REDUCE of an estimator with arguments", Program().call(MLP, (5,))
    yield "NEWOBJ_EX", Program().name(MLP).value(()).value({}).op(b"\x92")
    yield "OBJ", Program().op(b"(").name(f"{WIRE} Class").op(b"o")
    yield "INST", Program().op(b"(i" + f"{WIRE}\nClass\n".encode())
    yield "extension code", Program().op(b"\x82\x01")
    yield "persistent id", Program().text("x").op(b"Q")
    yield "buffer from outside", Program().op(b"\x97")
    yield "calling an instance", Program().new(MLP).op(b")R")
    yield "calling a method of an instance", Program().call("builtins getattr", MLP, "fit")
    yield "calling a list", Program().op(b"])R")
    yield "arguments that are a list", Program().name("builtins bytes").op(b"]R")


def _states() -> Iterator[tuple[str, Program]]:
    for name in (
        KFOLD,
        MLP,
        f"{WIRE} Class",
        "numpy float64",
        "numpy log1p",
        "builtins int",
        "numpy ndarray",
    ):
        yield f"BUILD of the name {name}", Program().name(name).build({"estimator_type": "x"})
        yield f"slot state of the name {name}", Program().name(name).build((None, {"estimator_type": "x"}))
    states: tuple[Any, ...] = (
        {"__array_interface__": 1}, {"__class__": f"@{WIRE} Class"}, {"__dict__": {}},
        {"predict": "@os system"},
        {"fit": None}, {"_validate_params": None}, {"__sklearn_tags__": f"@{KFOLD}"}, {"a b": 1}, {1: 2},
        {b"x": 1}, (None, {"x": 1}), ({"x": 1}, {"y": 2}), [1], "text", None, 5,
    )  # fmt: skip
    for state in states:
        yield f"state {state!r}", Program().new(MLP).build(state)
    yield "two states", Program().new(SCALER).build({"mean_": 1}).build({"mean_": 2})
    yield (
        "state of an earlier instance",
        (Program().new(SCALER).put(1).build({"a": 1}).op(b"0").get(1).build({"b": 1})),
    )
    yield "state of a list", Program().op(b"]").build({"x": 1})
    yield "state of None", Program().op(b"N").build({"x": 1})
    yield "append to an instance", Program().new(MLP).op(b"Na")
    yield "item of an instance", Program().new(MLP).op(b"NNs")
    yield "items of an array", Program().call(*ARRAY).op(b"(NNu")
    yield "members of a list", Program().op(b"](N\x90")
    yield "key that is an instance", Program().op(b"}").new(MLP).op(b"Ns")
    yield "key that is a nested tuple", Program().op(b"}").value(((((1,),),),)).op(b"Ns")
    yield "member that is a list", Program().op(b"\x8f(]\x90")


def _arrays() -> Iterator[tuple[str, Program]]:
    yield "array larger than its data", array((1 << 40,), "f8", b"12345678")
    yield "array of negative length", array((-1,), "f8", b"")
    yield "array whose lengths overflow", array((1 << 33, 1 << 33), "f8", b"")
    yield "array whose shape is text", array("ab", "f8", b"")
    yield "array of 100 dimensions", array((1,) * 100, "f8", b"12345678")
    yield "array of addresses", array((1,), "O", b"12345678")
    yield "array of objects with a short list", array((9,), "O", [1])
    yield "array of elements without a size", array((1 << 40,), "V0", b"")
    yield "array with two states", array((1,), "f8", b"12345678").build((1, (0,), None, False, b""))
    yield "array of a class of its own", Program().call(ARRAY[0], f"@{WIRE} Class", (0,), b"b")
    yield "memory map", Program().call(ARRAY[0], "@numpy memmap", (0,), b"b")
    yield "dtype of dates", Program().call("numpy dtype", "M8[ns]", False, True)
    yield "dtype by a call", Program().call("numpy dtype", "f8,O", False, True)
    yield "dtype with objects as fields", (
        Program().call("numpy dtype", "V8", False, True).op(b"(").number(3).text("|").op(b"N").value(("a",))
        .op(b"}").text("a").op(b"(").call("numpy dtype", "O", False, True).number(0).op(b"ts")
        .number(8).number(1).number(0).op(b"tb")
    )  # fmt: skip
    yield "dtype with a field behind its end", (
        Program().call("numpy dtype", "V8", False, True).op(b"(").number(3).text("|").op(b"N").value(("a",))
        .op(b"}").text("a").op(b"(").call("numpy dtype", "f8", False, True).number(8).op(b"ts")
        .number(8).number(1).number(0).op(b"tb")
    )  # fmt: skip
    yield "number of objects", (
        Program().name("numpy._core.multiarray scalar").op(b"(").call("numpy dtype", "O", False, True)
        .blob(b"12345678").op(b"tR")
    )  # fmt: skip
    yield "file array larger than the file", wrapped((1 << 40,), "f8")
    yield "file array of objects that is a number", wrapped((1,), "O").op(b"\x80\x04K\x05.")
    yield "file array of objects that calls", wrapped((1,), "O").op(Program().call("os system", "true").end())
    yield "file array of a class of its own", wrapped((1,), "f8", subclass=f"@{WIRE} Class").op(b"12345678")
    yield "file array in no order", wrapped((1,), "f8", order="K").op(b"12345678")
    yield "bytes in another encoding", Program().call("_codecs encode", "ff", "hex")
    yield "bytes of a length", Program().call("builtins bytes", 1 << 40)
    yield "byte array of a length", Program().call("builtins bytearray", 1 << 40)
    yield "byte array longer than the file", Program().op(b"\x96" + (1 << 40).to_bytes(8, "little"))
    yield "slice of a list", Program().call("builtins slice", [1], 2, 3)


def _broken() -> Iterator[tuple[str, Program]]:
    yield "nothing", Program()
    yield "pop of nothing", Program().op(b"0")
    yield "mark below a value", Program().op(b"(a")
    yield "unmarked tuple", Program().op(b"t")
    yield "unknown memo", Program().get(9)
    yield "key without a value", Program().op(b"}(Nu")
    yield "name of a number", Program().op(b"NN\x93")
    yield "name alone", Program().name("os system")
    yield "class alone", Program().name(MLP)
    yield "record alone", Program().new(KFOLD)
    yield "number alone", Program().number(5)


HOSTILE = dict([*_calls(), *_states(), *_arrays(), *_broken()])


def test_there_are_at_least_60_hostile_programs() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_program_is_refused_and_calls_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(HOSTILE[name].end())
    before = _listed_state()
    with pytest.raises(ModelFileError, match=r"model\.pkl"):
        load_model(path)
    assert f"{WIRE}" not in sys.modules
    assert _listed_state() == before


def _stored(*programs: Program) -> Program:
    """Make values that the program may name as 1, 2, 3 and so on."""
    data = b"".join(each.end()[2:-1] + b"q" + bytes([index]) + b"0" for index, each in enumerate(programs, 1))
    return Program().op(data)


def _labels(program: bytes) -> Program:
    """Make a perceptron whose labels are what these operations make."""
    return Program().new(MLP).op(b"}").text("classes_").op(program + b"sb")


MEBIBYTE = Program().blob(bytes(1 << 20))
FROM_BUFFER = (
    Program().name("numpy._core.numeric _frombuffer"), MEBIBYTE,
    Program().call("numpy dtype", "f8", False, True), Program().value((1 << 17,)), Program().text("C"),
)  # fmt: skip
TUPLES = b"(](" + b")" + b"q\x010h\x01h\x01\x86" * 60 + b"K\x01tatR"
TEXT = Program().text("a" * (1 << 20)).end()[2:-1] + b"q\x010"
ENDLESS: dict[str, tuple[Program, str]] = {
    "lists of twice the same list": (_labels(b"]" + b"q\x010](h\x01h\x01e" * 60), "would not end"),
    "key of tuples of twice the same tuple": (
        Program().name("collections OrderedDict").op(TUPLES),
        "keys are text or numbers",
    ),
    "list of one large text": (_labels(TEXT + b"](" + b"h\x01" * 999 + b"e"), "would not end"),
    "list within itself": (_labels(b"]q\x01h\x01a"), "lies inside itself"),
    "array made again and again": (
        _stored(*FROM_BUFFER).op(b"h\x01(h\x02h\x03h\x04h\x05tR0" * 9),
        "copies its own parts",
    ),
    "bytes copied again and again": (
        _stored(Program().name("builtins bytearray"), MEBIBYTE).op(b"h\x01h\x02\x85R0" * 9),
        "copies its own parts",
    ),
    "more operations than a model takes": (Program().op(b"]" * 9999), "takes more operations"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_small_program_of_large_values_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn2rknn.model_files.pickle_machine._MOST_OPERATIONS", 5000)
    program, text = ENDLESS[name]
    path = tmp_path / "model.pkl"
    path.write_bytes(program.end())
    with pytest.raises(ModelFileError, match=text):
        load_model(path)


READABLE = readable_classes()


def _listed_classes() -> Iterator[type]:
    for full in READABLE:
        module, _, name = full.rpartition(".")
        yield getattr(importlib.import_module(module), name)


LISTED = [*_listed_classes(), *TYPES.values(), *FUNCTIONS.values()]


def _listed_state() -> list[set[str]]:
    """Return the attribute names of every listed class, function and type."""
    return [set(getattr(each, "__dict__", ())) for each in LISTED]


NAMES = [
    MLP, SCALER, KFOLD, WRAPPER, f"{WIRE} Class", f"{WIRE} function", "os system", "builtins eval",
    "builtins getattr", "builtins bytes", "builtins set", "builtins slice", "builtins object",
    "numpy dtype", "numpy ndarray",
    "numpy float64", "numpy log1p", "numpy._core.multiarray _reconstruct", "numpy._core.multiarray scalar",
    "numpy._core.numeric _frombuffer", "copyreg _reconstructor", "_codecs encode",
    "sklearn.tree._tree Tree",
    "sklearn.metrics._scorer _Scorer", "sklearn.pipeline Pipeline",
]  # fmt: skip
TEXTS = ["f8", "U3", "O", "V8", "latin1", "coefs_", "__class__", "predict", "steps", "C", ""]
PIECES = st.one_of(
    st.sampled_from([b"(", b"t", b")", b"R", b"b", b"\x81", b"}", b"]", b"a", b"e", b"s", b"u", b"0", b"1",
                     b"2", b"l", b"d", b"\x85", b"\x86", b"\x87", b"N", b"\x88", b"\x8f", b"\x90",
                     b"\x91", b"\x92",
                     b"o", b"Q", b"\x94", b"\x97"]).map(lambda code: Program().op(code)),
    st.sampled_from(NAMES).map(lambda name: Program().name(name)),
    st.sampled_from(NAMES).map(lambda name: Program().new(name)),
    st.sampled_from(NAMES).map(lambda name: Program().name(name).op(b")R")),
    st.sampled_from(TEXTS).map(lambda text: Program().text(text)),
    st.sampled_from(TEXTS).map(lambda text: Program().value({text: 1})),
    st.sampled_from(TEXTS).map(lambda text: Program().call("numpy dtype", text, False, True)),
    st.just(Program().call(*ARRAY)),
    st.just(array((1,), "f8", b"12345678")),
    st.integers(-2, 1 << 40).map(lambda number: Program().number(number)),
    st.binary(max_size=16).map(lambda data: Program().blob(data)),
    st.integers(0, 3).map(lambda index: Program().put(index)),
    st.integers(0, 3).map(lambda index: Program().get(index)),
)  # fmt: skip


class _Watched(Workshop):
    """A workshop that checks that attributes are set on its own fresh instances only."""

    def set_attributes(self, target: Any, state: Any) -> None:
        assert any(target is each for each in self.instances)
        assert not vars(target)
        super().set_attributes(target, state)


@settings(max_examples=counted(3000), suppress_health_check=list(HealthCheck))
@given(st.lists(PIECES, max_size=40))
def test_drawn_programs_call_no_class_outside_the_list(pieces: list[Program]) -> None:
    data = b"\x80\x04" + b"".join(piece.end()[2:-1] for piece in pieces) + b"."
    called: list[Any] = []
    workshop = _Watched(READABLE)
    before = _listed_state()
    sys.setprofile(lambda frame, event, arg: called.append(arg if event == "c_call" else frame.f_code))
    try:
        content = PickleMachine(io.BytesIO(data), workshop).load()
    except (ModelFileError, ValueError, RecursionError):
        content = None
    finally:
        sys.setprofile(None)
    assert not _FORBIDDEN & {id(each) for each in called}
    assert WIRE not in sys.modules
    assert _listed_state() == before
    allowed = {*READABLE, "builtins.type"}
    for each in workshop.instances:
        assert f"{type(each).__module__}.{type(each).__qualname__}" in allowed
    assert type(content) in _KINDS or type(content) in {type(each) for each in workshop.instances}


_FORBIDDEN = {id(each) for each in (eval, exec, compile, __import__, open)}
_FORBIDDEN |= {id(sys.modules["posix"].system), id(pickle.loads), id(np.load)}
_KINDS = (
    type(None), bool, int, str, bytes, bytearray, list, tuple, dict, set, frozenset, slice, np.ndarray,
    np.float64, NamedStandIn, Record, type, np.ufunc, *{type(each) for each in (np.dtype("f8"),
    np.dtype("U"),
    np.dtype("O"), np.dtype("V8"))}, np.str_, np.void, type(WRAPPER),
)  # fmt: skip


def test_shared_lists_stay_shared(tmp_path: Path) -> None:
    numbers = [1, 2]
    content = PickleMachine(io.BytesIO(pickle.dumps([numbers, numbers])), Workshop(READABLE)).load()
    assert content[0] is content[1]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        1, -1, 1 << 70, 1.5, "é", b"\xff", (1, (2, 3, 4, 5)), [1, [2]], {"a": {1: None}}, {1, 2},
        frozenset("a"), bytearray(b"ab"), slice(1, "a"), True, np.float32(1.5),
        np.arange(6.0).reshape(2, 3),
        np.arange(6).reshape(2, 3).T, np.array(["a", "bc"]), np.array(["a", None, 1.5], dtype=object),
        np.zeros((0, 3)), np.arange(3, dtype=">i4"),
        np.zeros(3, dtype=[("a", "<f8"), ("b", "<i4")]), np.dtype(">f4"), np.float64, np.log1p,
    ],
    ids=lambda value: f"{type(value).__name__}-{value!r:.20}",
)  # fmt: skip
def test_plain_values_are_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = PickleMachine(io.BytesIO(data), Workshop(READABLE)).load()
    assert type(read) is type(value)
    value = pickle.loads(data)
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(read, value)
        assert read.dtype == value.dtype
        assert read.flags.c_contiguous == value.flags.c_contiguous
    else:
        assert read == value
