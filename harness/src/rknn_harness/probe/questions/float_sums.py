"""Questions of products and sums in float16."""

from __future__ import annotations

from typing import Final

import numpy as np

from rknn_harness.probe.bench import Bench
from rknn_harness.probe.models import dense
from rknn_harness.probe.question import (
    NOTES,
    UNDECIDED,
    Answer,
    FunctionQuestion,
    PredictionQuestion,
    Question,
)
from rknn_harness.probe.questions.float_rounding import ROWS, rounded
from scirknn.arrays import Array


def product_precision() -> Question:
    """Ask how many bits of a product are kept."""
    rng = np.random.default_rng(1)
    factors = 1 + np.ldexp(rng.integers(0, 512, 33) * 2 + 1, -10)  # odd, 11 bits: products of 21 and 22
    factors[32] = 1 + 997 / 1024
    factors[:6] = 1 + np.arange(1, 12, 2) / 1024  # products on either side of 2
    kernels, rows = np.zeros((32, 8)), np.zeros((ROWS, 8), np.float32)
    kernels[:, 0] = factors[:32]
    kernels[:, 1] = -(factors[:32] * factors[32]).astype(np.float16)  # leaves what comes after 11 bits
    rows[:, :2] = np.ldexp([factors[32], 1.0], np.arange(ROWS)[:, None])

    def predict(_: bytes) -> dict[str, Array]:
        products = kernels[None] * rows[:, None].astype(np.float64)
        found = {"exact": products.sum(axis=2)}
        for bits in range(11, 22):
            for rule, name in (("nearest_even", "nearest"), ("toward_zero", "cut")):
                found[f"{bits}_bits_{name}"] = rounded(products, rule, bits).sum(axis=2)
        return {key: rounded(value, "nearest_even") for key, value in found.items()}

    ways = {"nearest": "rounded to", "cut": "cut off after"}
    return PredictionQuestion(
        name="product_precision",
        text="Are products of two float16 values kept exactly?",
        why="They have 22 bits; what is lost of each cannot be found again in the sum.",
        answers={
            "exact": "Products are kept exactly.",
            **{
                f"{bits}_bits_{name}": f"Products are {text} {bits} bits."
                for bits in range(11, 22)
                for name, text in ways.items()
            },
        },
        assumed="exact",
        decided_in="virtual_npu.execute.sums.grouped_sums",
        published=NOTES,
        model=dense(kernels, samples=ROWS),
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


def _grow_numbers(bench: Bench) -> Answer:
    """Let large numbers grow until the 1 is lost."""
    exponents = np.arange(16)
    kernels, rows = np.zeros((2 * len(_PLACES), 512)), np.ones((len(exponents), 512), np.float32)
    for i, (large, small, less) in enumerate(_PLACES.values()):
        for half, low in enumerate((3, 15)):
            kernels[i + half * len(_PLACES), [large, small, less]] = 2.0**low, 1.0, -(2.0**low)
        rows[:, [large, less]] = np.ldexp(1.0, exponents)[:, None]
    outputs = bench.run(dense(kernels, samples=len(exponents)), rows)
    reached = np.concatenate([exponents + 3, exponents + 15])
    kept = {}
    for i, place in enumerate(_PLACES):
        lost = reached[np.concatenate([outputs[:, i], outputs[:, i + len(_PLACES)]]) != 1]
        kept[place] = int(lost.min() - 1 if len(lost) else reached.max())
    least = min(kept.values())
    key = {30: "wide", 23: "float32"}.get(least, "wider" if least > 23 else "narrower")
    if key != "narrower" and not np.isin(outputs, (0, 1)).all():
        key = UNDECIDED
    return Answer.of_run(key, {"kept_beside_2_to_the": kept}, rows, outputs)


def accumulator_bits() -> Question:
    """Ask how large a number may be beside a 1 that must not be lost."""
    return FunctionQuestion(
        run=_grow_numbers,
        name="accumulator_bits",
        text="How much wider than its result is a sum while it is formed?",
        why="Sums of mixed signs lose their small terms in a narrow accumulator.",
        answers={
            "wide": "A 1 is kept beside 2^30 and more.",
            "wider": "A 1 is kept beside more than float32 could keep it.",
            "float32": "As float32: a 1 is kept beside 2^23 and no more.",
            "narrower": "A 1 is lost beside less than 2^23.",
        },
        assumed="float32",
        decided_in="virtual_npu.execute.sums.grouped_sums",
    )


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
    products = exact.astype(np.float32)  # all 22 bits

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
        sums = blocks(exact, size).sum(axis=3)
        found[f"blocks_of_{size}_exact"] = running(sums.astype(np.float32))
        found[f"blocks_of_{size}_exact_cut"] = running_cut(sums)
        cube = blocks(products, size)
        found[f"blocks_of_{size}_tree"] = running(
            np.stack([tree(cube[:, :, i]) for i in range(cube.shape[2])], axis=2)
        )
        lanes = np.stack([running(cube[..., i]) for i in range(size)], axis=2)
        found[f"lanes_{size}_tree"] = tree(lanes)
        found[f"lanes_{size}_in_order"] = running(lanes)
    return found


def sum_order() -> Question:
    """Ask in which order products are summed."""
    rng = np.random.default_rng(2)
    channels = 512
    kernels = rng.uniform(-1, 1, (16, channels)).astype(np.float16).astype(np.float64)
    rows = rng.uniform(0.5, 1, (ROWS, channels)).astype(np.float16).astype(np.float32)
    # Pairs of channels take each other away all but a little: what is left shows each rounding.
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
    return PredictionQuestion(
        name="sum_order",
        text="In what order, and how, are products summed?",
        why="The program does not say; it decides the last bit of every output.",
        answers={key: f"{value}." for key, value in text.items()},
        assumed="blocks_of_32_exact",
        decided_in="virtual_npu.execute.sums.grouped_sums",
        published=NOTES,
        model=dense(kernels, samples=ROWS),
        rows=rows,
        predict=lambda _: {
            key: rounded(value, "nearest_even") for key, value in orders(kernels, rows).items()
        },
    )


def bias_order() -> Question:
    """Ask where the bias is added."""
    kernels, rows = np.zeros((16, 8)), np.zeros((ROWS, 8), np.float32)
    kernels[:, 0], rows[:, 0] = -1.0, 1.0
    low = np.ldexp(np.random.default_rng(3).integers(1, 1 << 12, 16), -22)  # of 24 bits' bias
    bias = (1 + low).astype(np.float32)
    bits = {"float32": 24, "bits_16": 16, "float16": 11, "bfloat16": 8}
    return PredictionQuestion(
        name="bias_precision",
        text="In what precision is the bias added?",
        why="The file holds it in float32.",
        answers={key: f"With {count} bits." for key, count in bits.items()},
        assumed="float32",
        decided_in="virtual_npu.execute.data_processor",
        model=dense(kernels, samples=ROWS, biases=[bias]),
        rows=rows,
        predict=lambda _: {
            key: rounded(rounded(bias, "nearest_even", count) - rows[:, :1], "nearest_even")
            for key, count in bits.items()
        },
    )
