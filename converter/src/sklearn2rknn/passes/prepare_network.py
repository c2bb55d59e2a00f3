"""The list of arithmetic passes: they change numbers, not the function.

A narrow number format then holds them. Every pass is exact in real numbers and done in float64: what a map on
the host takes away, the neighbouring layer's weights put back.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from scirknn.answers import final_values, gives_numbers
from scirknn.arrays import Floats
from scirknn.steps.step import apply_steps, carry_steps
from sklearn2rknn.checking.agreement import agreement, steps_to_decisions
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.errors import OptionError, RangeError
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.precision import Precision
from sklearn2rknn.options import ConversionOptions
from sklearn2rknn.passes import scaling
from sklearn2rknn.passes.float16_pairs import added_outputs, can_pair_outputs, float16_outputs, pair_values
from sklearn2rknn.passes.int16_sums import fit_sums
from sklearn2rknn.passes.int16_tanh import clipped_tanh_pairs
from sklearn2rknn.passes.kernel_equalization import equalize_kernels
from sklearn2rknn.passes.layer_merging import collapse_constant, merge_linear
from sklearn2rknn.passes.range_checks import FLOAT16_MAX, FLOAT32_MAX, refuse_overflow, refuse_starvation
from sklearn2rknn.passes.refined_tanh import refine
from sklearn2rknn.rows.check_rows import choose_rows, take_evenly
from sklearn2rknn.rows.reach import REACH, with_reach
from sklearn2rknn.tolerances import (
    FEWEST_ROWS,
    MAX_WEIGHTS_FOR_PAIRS,
    NEAR,
    PAIRS_R2,
    PROBABILITY,
    SAFETY,
    probability_reach,
)


@attrs.frozen(eq=False, kw_only=True)
class Preparation:
    """What the passes of one network go by.

    Attributes
    ----------
    source : Network
        As it was before the first pass.
    rows : numpy.ndarray, shape (n, n_features_in), or None
        Example input.
    precision : Precision
    options : ConversionOptions
    reach : float
        Of int16: how many times as far as the example its ranges go.
    """

    source: Network
    rows: Floats | None
    precision: Precision
    options: ConversionOptions
    reach: float
    _measured: dict[Network, list[Floats]] = attrs.field(factory=dict, init=False)

    def measure(self, network: Network) -> list[Floats] | None:
        """Return each layer's result for the rows, the last network's without computing it again."""
        if self.rows is None:
            return None
        if network not in self._measured:
            self._measured.clear()
            self._measured[network] = network.activations(self.rows)
        return self._measured[network]

    @property
    def adds_outputs(self) -> bool:
        """Whether output pairs come from one product more, where that takes less weights."""
        return self.options.output_pairs == "added" and self.source.form == "conv"


_PROMISE_ROWS = 128
"""Rows on which float16 is emulated to choose a form; the built file's check, on more, may choose another."""

_CONSTANT = 1e-3  # of the outputs' size: what differs by less is as good as constant

Pass = Callable[[Network, Preparation], Network]


def _merge_layers(network: Network, how: Preparation) -> Network:
    return merge_linear(network)


def _scale_inputs(network: Network, how: Preparation) -> Network:
    """Centre the features and give them unit size, by the example or the scalers."""
    if network.fixed_scale is not None:
        return scaling.scale_input(network, network.fixed_scale.offset, 1.0 / network.fixed_scale.scale)
    if how.rows is not None:
        # Not by the extremes: integers would cut off a row beyond them, however little the column varies.
        return scaling.scale_input(network, *scaling.mean_and_deviation(how.rows))
    if network.input_ranges is not None and how.precision is Precision.FLOAT16:
        return scaling.scale_input(network, *scaling.shift_and_power(network.input_ranges))
    return network


def _scale_hidden_layers(network: Network, how: Preparation) -> Network:
    """Bring float16 into its window, and the channels of integers closer to one range."""
    if how.precision is Precision.FLOAT16:
        return scaling.bring_into_float16(network, how.rows, how.measure(network))
    if how.rows is None:
        return network
    largest = scaling.INT16_WIDE if how.precision is Precision.INT16 else np.inf
    return scaling.balance(network, how.rows, largest)


def _scale_outputs(network: Network, how: Preparation) -> Network:
    """Spread the outputs of integers over one range, and scale those of float16."""
    if network.fixed_scale is not None:
        return network
    if how.precision is Precision.FLOAT16:
        return scaling.bring_output_into_float16(network, how.measure(network))
    results = how.measure(network)
    if results is None or how.rows is None or network.head_on_npu:
        return network
    inputs = results[-2] if len(results) > 1 else network.prepare(how.rows)
    is_int16 = how.precision is Precision.INT16
    return scaling.spread_outputs(network, inputs, results[-1], is_int16=is_int16)


def _refuse_starvation(network: Network, how: Preparation) -> Network:
    if how.precision is Precision.FLOAT16:
        refuse_starvation(network, how.rows)
    return network


def _collapse_constant(network: Network, how: Preparation) -> Network:
    # Not before the scaling, since small weights need not be small any more in the new scales.
    constant = collapse_constant(network)
    if constant is not network and how.precision is not Precision.FLOAT16 and how.rows is not None:
        outputs = network.forward(how.rows)
        spread = float(np.ptp(outputs, axis=0).max())
        if spread > _CONSTANT * float(np.abs(outputs).max()):
            raise RangeError(
                "A layer's weights round to 0 in the toolkit beside inputs of its size, but the outputs "
                f"differ by {spread:.3g} over the example. Scale X before fit, or take float16."
            )
    return constant


def _replace_tanh(network: Network, how: Preparation) -> Network:
    """Write tanh and logistic in the form that errs least in the precision."""
    if how.precision is Precision.FLOAT16 and how.options.activation == "refined":
        return refine(network)
    if how.precision is Precision.INT16 and how.rows is not None:
        return clipped_tanh_pairs(with_reach(network, how.rows, how.reach))
    return network


def _equalize_kernels(network: Network, how: Preparation) -> Network:
    rows = how.rows
    if rows is None or how.precision is Precision.FLOAT16:
        return network
    if how.precision is Precision.INT8:
        return equalize_kernels(network, rows)
    return equalize_kernels(network, rows, 16, lambda made: fit_sums(made, rows))


def _refuse_overflow(network: Network, how: Preparation) -> Network:
    largest = FLOAT16_MAX if how.precision is Precision.FLOAT16 else FLOAT32_MAX
    with np.errstate(over="ignore", invalid="ignore"):
        refuse_overflow(network, how.rows, largest, how.measure(network))
    return network


def _pair_values(network: Network, how: Preparation) -> Network:
    """Carry float16 pairs where requested, or where the promise needs them."""
    accuracy, rows = how.options.accuracy, how.rows
    if how.precision is not Precision.FLOAT16 or accuracy == "single":
        return network
    if not network.layers[0].weights.any():
        return network  # a constant has no weights to pair
    if accuracy == "double":
        return pair_values(network) if network.head_on_npu else _pair_outputs(network, how)
    if network.fixed_scale is not None or count_weights(network) > MAX_WEIGHTS_FOR_PAIRS:
        return network
    if any(each.stretches for each in network.epilogue):
        # Rows further out than these would err more, without end.
        fits = can_pair_outputs(network, added=how.adds_outputs)
        return _pair_outputs(network, how) if fits else pair_values(network)
    if rows is None or _keeps_promise(how.source, network, rows):
        return network
    paired = pair_values(network)
    if network.head_on_npu or not can_pair_outputs(network, added=how.adds_outputs):
        return paired
    if _keeps_promise(how.source, paired, rows, near=NEAR):
        return paired
    return _pair_outputs(network, how)


def _pair_outputs(network: Network, how: Preparation) -> Network:
    """Carry float16 pairs, of the outputs too."""
    return added_outputs(network) if how.adds_outputs else pair_values(network, output=True)


PASSES: tuple[Pass, ...] = (
    _merge_layers,
    _scale_inputs,
    _scale_hidden_layers,
    _scale_outputs,
    _refuse_starvation,
    _collapse_constant,
    _replace_tanh,
    _equalize_kernels,
    _refuse_overflow,
    _pair_values,
)
"""In the order in which they are applied. Each returns the network as it is where it has nothing to do."""


def prepare_network(
    network: Network,
    rows: Floats | None,
    precision: str,
    options: ConversionOptions = ConversionOptions(),  # noqa: B008  # frozen
    reach: float = REACH,
) -> Network:
    """Return the same function in numbers that the precision holds well.

    Integers have one step for a complete tensor, so every column is spread over the same range. float16 has
    fine steps near 0 only: columns are centred and given unit size, and a classifier's outputs, which count
    near 0, stay as they are. Without example input float16 goes by the ranges that the scalers saw when they
    were fitted, or by the weights alone, and changes only what would leave it.

    Parameters
    ----------
    network : Network
        Without host maps.
    rows : numpy.ndarray, shape (n, n_features_in), or None
        Example input.
    precision : Precision or {"float16", "int8", "int16"}
    options : ConversionOptions
        Of which ``accuracy``, ``activation`` and ``output_pairs`` count.
    reach : float
        Of int16: how many times as far as the example its ranges go.

    Raises
    ------
    OptionError
        There is no double accuracy for this precision, or the network is for float16 only.
    RangeError
        A value still overflows or underflows; the text names the layer, the range and the cure.
    """
    how = Preparation(source=network, rows=rows, precision=Precision(precision), options=options, reach=reach)
    if options.accuracy == "double" and how.precision is not Precision.FLOAT16:
        raise OptionError(
            f"accuracy='double' is for float16; {how.precision} has steps of its own. Drop one of them."
        )
    if network.fixed_scale is not None and how.precision is not Precision.FLOAT16:
        raise OptionError(
            f"{network.estimator} needs the error bound of float16; {how.precision} has none of that kind. "
            "Take precision='float16'."
        )
    for change in PASSES:
        network = change(network, how)
    return network


def count_weights(network: Network) -> int:
    """Return how many weights the layers have."""
    return sum(layer.weights.size for layer in network.layers)


def _keeps_promise(source: Network, network: Network, rows: Floats, near: float = 1.0) -> bool:
    """Whether float16 keeps the promise on unseen rows, by errors emulated here.

    Of fewer rows than `FEWEST_ROWS` a largest error says little, and the derived bound decides. By default
    all rows count: pairs for a row that would have done with one number do no harm.
    """
    if not gives_numbers(source) and {"tanh", "logistic"} & {layer.activation for layer in source.layers}:
        return False  # how steep a unit is between the rows cannot be seen on them
    rows = take_evenly(choose_rows(source, rows, 1).rows, _PROMISE_ROWS)
    exact, outputs = source.forward(rows), float16_outputs(network, rows)
    if not np.isfinite(outputs).all():
        return False
    reference, values = (final_values(source, each, rows) for each in (exact, outputs))
    if gives_numbers(source):
        r2 = agreement(source, values, reference).r2
        return r2 is None or r2 >= PAIRS_R2
    bound = file_bound(source, network, rows) if len(rows) < FEWEST_ROWS else None
    for steps, head in steps_to_decisions(source):
        expected = apply_steps(steps, reference)
        if bound is None:
            errors = SAFETY * (apply_steps(steps, values) - expected)
        else:
            _, errors = carry_steps((*source.epilogue, *steps), exact, bound, rows)
        if not probability_reach(expected, errors, head=head, near=near) <= PROBABILITY:  # nor is NaN
            return False
    return True
