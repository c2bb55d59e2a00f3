"""float16: rounding, products and sums, the ends of its range, and what is no number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rknn_harness.probe.bench import Bench
from rknn_harness.probe.models import dense
from rknn_harness.probe.question import UNDECIDED, Answer, Question, Rivals, packed

__all__ = ["FLOAT_QUESTIONS", "orders", "rounded"]

Array = npt.NDArray[Any]

_N: Final = 8
_TOP: Final = 65504.0  # the largest float16

_ROUNDINGS: Final[Mapping[str, tuple[str, Callable[[Array], Array]]]] = {
    "nearest_even": ("to the nearest, halves to even", np.rint),
    "nearest_away": (
        "to the nearest, halves away from zero",
        lambda v: np.copysign(np.floor(abs(v) + 0.5), v),
    ),
    "nearest_up": ("to the nearest, halves up", lambda v: np.floor(v + 0.5)),
    "toward_zero": ("toward zero: low bits are cut off", np.trunc),
    "down": ("down", np.floor),
    "up": ("up", np.ceil),
}
_ROUNDING_ANSWERS: Final = {key: f"It rounds {text}." for key, (text, _) in _ROUNDINGS.items()}


def rounded(values: Array, rule: str, bits: int = 11) -> Array:
    """Round to `bits` significant ones, float64 in and out; with 11 to float16, its range aside."""
    values = np.asarray(values, np.float64)
    exponents = np.frexp(values)[1] - bits
    if bits == 11:
        exponents = np.maximum(exponents, -24)  # below 2**-14 float16 keeps multiples of 2**-24
    result: Array = np.ldexp(_ROUNDINGS[rule][1](np.ldexp(values, -exponents)), exponents)
    return result


def roundings(exact: Array) -> dict[str, Array]:
    """Return what each rounding makes of real numbers."""
    return {rule: rounded(exact, rule) for rule in _ROUNDINGS}


def _between() -> Array:
    """Numbers on, a quarter, half and three quarters of a step above float16 values, even and odd; (K, 2)."""
    found = []
    for base in (1.0, 100.0, -1.0, -100.0, 0.75):
        step = np.spacing(np.float16(abs(base))).astype(np.float64) * np.sign(base)
        found += [(base, step * part) for part in (0.25, 0.5, 0.75, 1.5, 2.5)]
        found.append((base, step * (0.5 + 2.0**-7)))
    return np.array(found)


def _input_rounding() -> Question:
    rows = np.zeros((_N, 8), np.float32)
    values = _between().sum(axis=1)
    rows.flat[: len(values)] = values
    return Rivals(
        name="input_rounding",
        text="How are float32 inputs rounded to float16?",
        why="Every prediction begins with it; it is the vendor's library that does it, or the NPU.",
        answers=_ROUNDING_ANSWERS,
        assumed="nearest_even",
        decided_in="virtual_npu.execute.virtual_npu",
        model=dense(np.eye(8), samples=_N),
        rows=rows,
        predict=lambda _: roundings(rows),
    )


def _output_rounding() -> Question:
    kernels = np.zeros((len(_between()), 8))
    kernels[:, :2] = _between()
    rows = np.zeros((_N, 8), np.float32)
    rows[:, :2] = np.ldexp(1.0, np.arange(_N) - 4)[:, None]
    return Rivals(
        name="output_rounding",
        text="How is a layer's float32 result rounded to float16?",
        why="It happens after every layer; cut off instead of rounded, errors add up to one side.",
        answers=_ROUNDING_ANSWERS,
        assumed="nearest_even",
        decided_in="virtual_npu.execute.half_precision",
        model=dense(kernels, samples=_N),
        rows=rows,
        predict=lambda _: roundings(rows.astype(np.float64) @ kernels.T),
    )


def _products() -> Question:
    rng = np.random.default_rng(1)
    factors = 1 + np.ldexp(rng.integers(0, 512, 33) * 2 + 1, -10)  # odd, 11 bits: products of 21 and 22
    factors[32] = 1 + 997 / 1024
    factors[:6] = 1 + np.arange(1, 12, 2) / 1024  # products on either side of 2
    kernels, rows = np.zeros((32, 8)), np.zeros((_N, 8), np.float32)
    kernels[:, 0] = factors[:32]
    kernels[:, 1] = -(factors[:32] * factors[32]).astype(np.float16)  # leaves what comes after 11 bits
    rows[:, :2] = np.ldexp([factors[32], 1.0], np.arange(_N)[:, None])

    def predict(_: bytes) -> dict[str, Array]:
        products = kernels[None] * rows[:, None].astype(np.float64)
        found = {"exact": products.sum(axis=2)}
        for bits in range(11, 22):
            for rule, name in (("nearest_even", "nearest"), ("toward_zero", "cut")):
                found[f"{bits}_bits_{name}"] = rounded(products, rule, bits).sum(axis=2)
        return {key: rounded(value, "nearest_even") for key, value in found.items()}

    ways = {"nearest": "rounded to", "cut": "cut off after"}
    return Rivals(
        name="product_precision",
        text="Are products of two float16 values kept whole?",
        why="They have 22 bits; what is lost of each cannot be found again in the sum.",
        answers={
            "exact": "Products are kept whole.",
            **{
                f"{bits}_bits_{name}": f"Products are {text} {bits} bits."
                for bits in range(11, 22)
                for name, text in ways.items()
            },
        },
        assumed="exact",
        decided_in="virtual_npu.execute.summation",
        model=dense(kernels, samples=_N),
        rows=rows,
        predict=predict,
    )


_PLACES: Final = {
    "together": (0, 1, 2),
    "within 8": (3, 4, 7),
    "within 16": (16, 24, 31),
    "in three blocks": (8, 200, 400),
    "over all": (32, 256, 511),
    "small first": (300, 5, 510),
}
"""Channels of a large number, a small one, and the large one taken away again."""


class _AccumulatorBits(Question):
    """How large a number may be beside a 1 that must not be lost."""

    def ask(self, bench: Bench) -> Answer:
        """Let large numbers grow until the 1 is lost."""
        exponents = np.arange(16)
        kernels, rows = np.zeros((2 * len(_PLACES), 512)), np.ones((len(exponents), 512), np.float32)
        for i, (large, small, less) in enumerate(_PLACES.values()):
            for half, low in enumerate((3, 15)):
                kernels[i + half * len(_PLACES), [large, small, less]] = 2.0**low, 1.0, -(2.0**low)
            rows[:, [large, less]] = np.ldexp(1.0, exponents)[:, None]
        found = bench.run(dense(kernels, samples=len(exponents)), rows)
        reached = np.concatenate([exponents + 3, exponents + 15])
        kept = {}
        for i, place in enumerate(_PLACES):
            lost = reached[np.concatenate([found[:, i], found[:, i + len(_PLACES)]]) != 1]
            kept[place] = int(lost.min() - 1 if len(lost) else reached.max())
        least = min(kept.values())
        key = {30: "wide", 23: "float32"}.get(least, "wider" if least > 23 else "narrower")
        if key != "narrower" and not np.isin(found, (0, 1)).all():
            key = UNDECIDED
        return Answer(key, {"kept_beside_2_to_the": kept}, {"x": packed(rows), "y": packed(found)})


_BLOCKS: Final = (4, 8, 16, 32, 64)


def orders(kernels: Array, rows: Array) -> dict[str, Array]:
    """Return what each order of summing makes of float16 products, before the rounding to float16.

    Parameters
    ----------
    kernels : numpy.ndarray, shape (K, C)
    rows : numpy.ndarray, shape (N, C)
        C is a multiple of 64.
    """
    exact = rows[:, None].astype(np.float64) * kernels[None]
    products = exact.astype(np.float32)  # whole, 22 bits

    def running(parts: Array) -> Array:
        total = np.zeros(parts.shape[:2], parts.dtype)
        for i in range(parts.shape[2]):
            total = total + parts[:, :, i]
        return total

    def tree(parts: Array) -> Array:
        while parts.shape[2] > 1:
            parts = parts[:, :, ::2] + parts[:, :, 1::2]
        return parts[:, :, 0]

    def running_cut(parts: Array) -> Array:
        total = np.zeros(parts.shape[:2])
        for i in range(parts.shape[2]):
            total = rounded(total + parts[:, :, i], "toward_zero", 24)
        return total

    def blocks(values: Array, size: int) -> Array:
        return values.reshape(*values.shape[:2], -1, size)

    found = {
        "exact": exact.sum(axis=2).astype(np.float32),
        "in_order": running(products),
        "backwards": running(products[:, :, ::-1]),
        "in_order_cut": running_cut(exact),
        "float16_in_order": running(products.astype(np.float16)),
    }
    for size in _BLOCKS:
        whole = blocks(exact, size).sum(axis=3)
        found[f"blocks_of_{size}_exact"] = running(whole.astype(np.float32))
        found[f"blocks_of_{size}_exact_cut"] = running_cut(whole)
        cube = blocks(products, size)
        found[f"blocks_of_{size}_tree"] = running(
            np.stack([tree(cube[:, :, i]) for i in range(cube.shape[2])], axis=2)
        )
        lanes = np.stack([running(cube[..., i]) for i in range(size)], axis=2)
        found[f"lanes_{size}_tree"] = tree(lanes)
        found[f"lanes_{size}_in_order"] = running(lanes)
    return found


def _sum_order() -> Question:
    rng = np.random.default_rng(2)
    channels = 512
    kernels = rng.uniform(-1, 1, (16, channels)).astype(np.float16).astype(np.float64)
    rows = rng.uniform(0.5, 1, (_N, channels)).astype(np.float16).astype(np.float32)
    # Pairs of channels take each other away all but a little: what is left shows each rounding on the way.
    first, second = rng.permutation(channels).reshape(2, -1)
    rows[:, second] = rows[:, first]
    kernels[:, second] = -kernels[:, first]
    kernels[:, second[0]] += 2.0**-10
    kernels = kernels.astype(np.float16).astype(np.float64)
    text = {
        "exact": "The sum is exact and rounded once",
        "in_order": "In float32, channel after channel",
        "backwards": "In float32, from the last channel to the first",
        "in_order_cut": "Channel after channel, each sum cut off to 24 bits",
        "float16_in_order": "In float16, channel after channel",
    }
    for size in _BLOCKS:
        text |= {
            f"blocks_of_{size}_exact": f"{size} channels at a time exactly, then float32",
            f"blocks_of_{size}_exact_cut": f"{size} channels at a time exactly, each sum cut off to 24 bits",
            f"blocks_of_{size}_tree": f"{size} channels at a time in pairs, then float32",
            f"lanes_{size}_tree": f"{size} sums side by side, float32, joined in pairs",
            f"lanes_{size}_in_order": f"{size} sums side by side, float32, joined in order",
        }
    return Rivals(
        name="sum_order",
        text="In what order, and how, are products summed?",
        why="The program does not say; it decides the last bit of every output.",
        answers={key: f"{value}." for key, value in text.items()},
        assumed="exact",
        decided_in="virtual_npu.execute.summation",
        model=dense(kernels, samples=_N),
        rows=rows,
        predict=lambda _: {
            key: rounded(value, "nearest_even") for key, value in orders(kernels, rows).items()
        },
    )


def _bias() -> Question:
    kernels, rows = np.zeros((16, 8)), np.zeros((_N, 8), np.float32)
    kernels[:, 0], rows[:, 0] = -1.0, 1.0
    low = np.ldexp(np.random.default_rng(3).integers(1, 1 << 12, 16), -22)  # of 24 bits' bias
    bias = (1 + low).astype(np.float32)
    bits = {"float32": 24, "bits_16": 16, "float16": 11, "bfloat16": 8}
    return Rivals(
        name="bias_precision",
        text="In what precision is the bias added?",
        why="The file holds it in float32.",
        answers={key: f"With {count} bits." for key, count in bits.items()},
        assumed="float32",
        decided_in="virtual_npu.execute.data_processor",
        model=dense(kernels, samples=_N, biases=[bias]),
        rows=rows,
        predict=lambda _: {
            key: rounded(rounded(bias, "nearest_even", count) - rows[:, :1], "nearest_even")
            for key, count in bits.items()
        },
    )


_PLACES_OF_SUBNORMALS: Final = ("input", "weight", "output")


def _subnormals() -> Question:
    # (input, weight): each of the three subnormal by itself; a number to be rounded among them.
    pairs = np.array(
        [
            (2.0**-20, 2.0**10), (1.5 * 2.0**-16, 2.0**8), (2.0**10, 2.0**-20), (2.0**8, 1.5 * 2.0**-16),
            (2.0**-10, 2.0**-10), (2.0**-12, 1.5 * 2.0**-13), (2.0**-14, 1.0), (2.0**-12, 1.25 * 2.0**-6),
        ]
    )  # fmt: skip
    rows, kernels = np.diag(pairs[:, 0]).astype(np.float32), np.diag(pairs[:, 1])

    def flushed(values: Array, flush: bool) -> Array:
        return np.where(abs(values) < 2.0**-14, 0, values) if flush else values

    def name(places: tuple[str, ...]) -> str:
        return "kept" if not places else "flushed_" + "_".join(places)

    every = [places for count in range(4) for places in combinations(_PLACES_OF_SUBNORMALS, count)]

    def predict(_: bytes) -> dict[str, Array]:
        found = {}
        for places in every:
            x, w = flushed(rows, "input" in places), flushed(kernels, "weight" in places)
            y = rounded(x.astype(np.float64) @ w.T, "nearest_even")
            found[name(places)] = flushed(y, "output" in places)
        return found

    return Rivals(
        name="subnormals",
        text="Are numbers below 2^-14 kept, or taken for 0?",
        why="Small weights and small features vanish silently where they are not.",
        answers={
            name(places): f"Taken for 0: {', '.join(places)}." if places else "All are kept."
            for places in every
        },
        assumed="kept",
        decided_in="virtual_npu.execute.half_precision",
        model=dense(kernels, samples=len(rows)),
        rows=rows,
        predict=predict,
    )


def _overflow() -> Question:
    added = np.array([0, 8, 15, 15.9375, 16, 24, 32, 4096.0])
    kernels, rows = np.zeros((16, 8)), np.zeros((_N, 8), np.float32)
    kernels[:, 0] = np.repeat([1.0, -1.0], 8)
    kernels[:, 1] = np.concatenate([added, -added]) / 16
    rows[:, 0], rows[:, 1] = _TOP, 16.0
    rows[1:, 0] = [_TOP / 2, _TOP, 1.0, 0.0, _TOP - 32, 32768, 2.0]

    def predict(_: bytes) -> dict[str, Array]:
        exact = rows.astype(np.float64) @ kernels.T
        halves, size = rounded(exact, "nearest_even"), abs(exact)
        return {
            "infinity_nearest": np.where(size >= 65520, np.copysign(np.inf, exact), halves),
            "infinity_above": np.where(size > _TOP, np.copysign(np.inf, exact), halves),
            "saturates": np.clip(halves, -_TOP, _TOP),
            "wider": halves,
        }

    return Rivals(
        name="overflow",
        text="What becomes of results beyond 65504?",
        why="An infinity shows; a saturated value passes for a right one.",
        answers={
            "infinity_nearest": "Infinity from 65520 on, as IEEE has it.",
            "infinity_above": "Infinity beyond 65504.",
            "saturates": "They stay at 65504.",
            "wider": "They go on: the largest exponent is one like others.",
        },
        assumed="infinity_nearest",
        decided_in="virtual_npu.execute.half_precision",
        model=dense(kernels, samples=_N),
        rows=rows,
        predict=predict,
    )


def _ieee(rows: Array, kernels: Array, *, skip: bool) -> Array:
    """Multiply with NaN and infinities; with `skip`, weights of 0 give 0 whatever they meet."""
    with np.errstate(invalid="ignore"):
        products = rows[:, None].astype(np.float64) * kernels[None]
        if skip:
            products = np.where(kernels[None] == 0, 0, products)
        result: Array = products.sum(axis=2)
    return result


def _not_a_number() -> Question:
    kernels = np.vstack([np.eye(8), np.ones((1, 8)), np.eye(8)[::-1][:7] * 0.5])
    rows = np.arange(1, 65, dtype=np.float32).reshape(_N, 8)
    rows[1, 0] = rows[4, 5] = np.nan

    def instead(value: float) -> Array:
        return _ieee(np.where(np.isnan(rows), value, rows), kernels, skip=False)

    exponent = instead(1.5 * 2.0**16)  # what the bits would be, were the largest exponent one like others
    return Rivals(
        name="nan_input",
        text="What does a NaN among a row's inputs give?",
        why="A missing feature must not pass for a prediction; nor spoil other rows.",
        answers={
            "whole_row": "NaN in every output of its row, and in no other row.",
            "its_outputs": "NaN in the outputs whose weight for it is not 0.",
            "zero": "It is taken for 0.",
            "number_infinity": "It is taken for a number beyond the range, which becomes infinity.",
            "number_saturated": "It is taken for a number beyond the range, which becomes 65504.",
        },
        assumed="whole_row",
        decided_in="virtual_npu.execute.summation",
        model=dense(kernels, samples=_N),
        rows=rows,
        predict=lambda _: {
            "whole_row": _ieee(rows, kernels, skip=False),
            "its_outputs": _ieee(rows, kernels, skip=True),
            "zero": instead(0.0),
            "number_infinity": np.where(exponent >= 65520, np.inf, rounded(exponent, "nearest_even")),
            "number_saturated": np.minimum(rounded(exponent, "nearest_even"), _TOP),
        },
    )


def _infinite() -> Question:
    kernels = np.zeros((8, 8))
    kernels[:4, :4] = [(1, 0, 0, 0), (0, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 0)]
    kernels[4:, 2:4] = [(-1, 0), (0.5, 1), (0, 1), (0, 0.5)]
    kernels[7, 0] = 0.5
    rows = np.arange(1, 65, dtype=np.float32).reshape(_N, 8)
    rows[2, 0], rows[3, 1], rows[5, :2] = np.inf, -np.inf, (np.inf, -np.inf)

    def capped(value: float, limit: float) -> Array:
        exact = _ieee(np.clip(rows, -value, value), kernels, skip=False)
        halves = rounded(exact, "nearest_even")
        return np.where(abs(exact) >= 65520, np.copysign(limit, exact), halves)

    return Rivals(
        name="infinite_input",
        text="What does an infinity among a row's inputs give?",
        why="float32 features beyond 65504 become one on their way in.",
        answers={
            "ieee": "What IEEE says: NaN where it meets a weight of 0 or its opposite, else infinity.",
            "skips_zero": "The same, but a weight of 0 gives 0.",
            "saturates": "It is taken for 65504.",
            "number_infinity": "It is taken for 65536, and results beyond the range are infinite.",
            "number_saturated": "It is taken for 65536, and results beyond the range are 65504.",
        },
        assumed="ieee",
        decided_in="virtual_npu.execute.summation",
        model=dense(kernels, samples=_N),
        rows=rows,
        predict=lambda _: {
            "ieee": _ieee(rows, kernels, skip=False),
            "skips_zero": _ieee(rows, kernels, skip=True),
            "saturates": capped(_TOP, _TOP),
            "number_infinity": capped(65536.0, np.inf),
            "number_saturated": capped(65536.0, _TOP),
        },
    )


def _relu_of_nan() -> Question:
    rows = np.linspace(-4, 3.875, 64, dtype=np.float32).reshape(_N, 8)
    rows[1, 0] = rows[6, 7] = np.nan
    kernels = np.vstack([np.ones((4, 8)), -np.ones((4, 8))])

    def predict(_: bytes) -> dict[str, Array]:
        sums = _ieee(rows, kernels, skip=False)
        usual = rounded(np.maximum(sums, 0), "nearest_even")
        return {
            key: np.where(np.isnan(sums), value, usual)
            for key, value in (("nan", np.nan), ("zero", 0.0), ("infinity", np.inf), ("largest", _TOP))
        }

    return Rivals(
        name="relu_of_nan",
        text="What does ReLU make of NaN?",
        why="Where it gives 0, a layer hides that its input was no number.",
        answers={
            "nan": "NaN.", "zero": "0.", "infinity": "Infinity.", "largest": "65504."
        },
        assumed="nan",
        decided_in="virtual_npu.execute.data_processor",
        model=dense(kernels, samples=_N, activation="Relu"),
        rows=rows,
        predict=predict,
    )  # fmt: skip


FLOAT_QUESTIONS: Final[tuple[Question, ...]] = (
    _input_rounding(),
    _output_rounding(),
    _products(),
    _AccumulatorBits(
        name="accumulator_bits",
        text="How much wider than its result is a sum while it is formed?",
        why="Sums of mixed signs lose their small terms in a narrow accumulator.",
        answers={
            "wide": "A 1 is kept beside 2^30 and more.",
            "wider": "A 1 is kept beside more than float32 could keep it.",
            "float32": "As float32: a 1 is kept beside 2^23 and no more.",
            "narrower": "A 1 is lost beside less than 2^23.",
        },
        assumed="wide",
        decided_in="virtual_npu.execute.summation",
    ),
    _sum_order(),
    _bias(),
    _subnormals(),
    _overflow(),
    _not_a_number(),
    _infinite(),
    _relu_of_nan(),
)
