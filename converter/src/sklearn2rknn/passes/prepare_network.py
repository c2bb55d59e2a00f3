"""Change a network's numbers, not what it computes, so that a narrow number format holds them.

Everything here is exact in real numbers and done in float64: what a map on the host takes away, the
neighbouring layer's weights put back.
"""

from __future__ import annotations

import numpy as np

from sklearn2rknn.checking.agreement import agreement
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.errors import OptionError
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import Floats
from sklearn2rknn.passes.float16_pairs import carry_remainders, float16_outputs
from sklearn2rknn.passes.int16_biases import fit_biases
from sklearn2rknn.passes.int16_tanh import halve
from sklearn2rknn.passes.kernel_equalization import even_kernels
from sklearn2rknn.passes.layer_merging import collapse_constant, merge_linear
from sklearn2rknn.passes.range_checks import (
    FLOAT16_MAX,
    FLOAT32_MAX,
    refuse_overflow,
    refuse_starvation,
)
from sklearn2rknn.passes.refined_tanh import refine
from sklearn2rknn.passes.scaling import (
    INT16_WIDE,
    balance,
    bring_into_float16,
    bring_output_into_float16,
    largest_numbers,
    mean_and_deviation,
    middle_and_half_range,
    scale_input,
    scale_output,
    shift_and_power,
)
from sklearn2rknn.rows.check_rows import choose_rows
from sklearn2rknn.rows.reach import REACH, with_reach
from sklearn2rknn.tolerances import (
    FEWEST_ROWS,
    LARGE,
    NEAR,
    PAIRS_R2,
    PROBABILITY,
    SAFETY,
    probability_reach,
)

__all__ = ["ACCURACIES", "condition", "count_weights"]


ACCURACIES = ("auto", "single", "double")
"""One float16 number for each value between layers, two, or two where one is not enough."""

HIDDEN_TABLES = ("tanh", "logistic")


def condition(
    network: Network,
    rows: Floats | None,
    precision: str,
    accuracy: str = "auto",
    activation: str = "refined",
    reach: float = REACH,
) -> Network:
    """Return the same function in numbers of convenient size.

    Integers have one step for a whole tensor, so every column is spread over the same range. float16 has fine
    steps near 0 only: columns are centred and given unit size, and a classifier's outputs, which count near
    0, stay as they are. Without example input float16 goes by the ranges that the scalers saw when they were
    fitted, or by the weights alone, and changes what would leave it only.

    Parameters
    ----------
    network : Network
        Without host maps.
    rows : numpy.ndarray, shape (n, n_features_in), or None
        Example input.
    precision : {"float16", "int8", "int16"}
    accuracy : {"auto", "single", "double"}
        Of float16. ``"auto"`` carries remainders where there is example input that shows the need and the
        network is not large.
    activation : {"refined", "plain"}
        Form of tanh and logistic in float16; int8 takes the plain one, int16 has its own, `int16_tanh`.
    reach : float
        Of int16: how many times as far as the example its ranges go.

    Raises
    ------
    OptionError
        There is no double accuracy for this precision.
    RangeError
        A number overflows or starves all the same; the text names the layer, the range and the cure.
    """
    if accuracy == "double" and precision != "float16":
        raise OptionError(f"accuracy='double' is for float16; {precision} has steps of its own. Drop one.")
    source = network
    network = merge_linear(network)
    if precision == "float16":
        if rows is not None:
            network = scale_input(network, *mean_and_deviation(rows))
        elif network.spans is not None:
            network = scale_input(network, *shift_and_power(network.spans))
        network = bring_output_into_float16(bring_into_float16(network, rows), rows)
        refuse_starvation(network, rows)
    elif rows is not None:
        # Not by the extremes: then a row beyond them would be cut off, however little the column varies.
        network = scale_input(network, *mean_and_deviation(rows))
        network = balance(network, rows, INT16_WIDE if precision == "int16" else np.inf)
        if not network.head_on_npu:
            middle, half = middle_and_half_range(network.activations(rows)[-1])
            if precision == "int16":
                half = np.maximum(half, largest_numbers(network.layers[-1], middle) / INT16_WIDE)
            network = scale_output(network, middle, half)
    # Not before, since small weights need not be small any more in the new scales.
    network = collapse_constant(network)
    if rows is not None and precision == "int16":
        network = halve(with_reach(network, rows, reach))
        network = even_kernels(network, rows, 16, lambda made: fit_biases(made, rows))
    if rows is not None and precision == "int8":
        network = even_kernels(network, rows)
    if precision == "float16" and activation == "refined":
        network = refine(network)
    refuse_overflow(network, rows, FLOAT16_MAX if precision == "float16" else FLOAT32_MAX)
    if precision != "float16" or accuracy == "single" or not network.layers[0].weights.any():
        return network  # a constant, with no weights, has no remainders
    if accuracy == "double":
        return carry_remainders(network, output=not network.head_on_npu)
    if rows is None or count_weights(network) > LARGE or _keeps_promise(source, network, rows):
        return network
    double = carry_remainders(network)
    if network.head_on_npu or _keeps_promise(source, double, rows, near=NEAR):
        return double
    return carry_remainders(network, output=True)


def count_weights(network: Network) -> int:
    """Return how many weights the layers have."""
    return sum(layer.weights.size for layer in network.layers)


def _keeps_promise(source: Network, network: Network, rows: Floats, near: float = 1.0) -> bool:
    """Whether float16 keeps the promise on unseen rows too, by errors emulated on these.

    Of fewer rows than `FEWEST_ROWS` a largest error says little, and the derived bound decides. By default
    all rows count: pairs for a row that would have done with one number do no harm.
    """
    if source.task != "regressor" and set(HIDDEN_TABLES) & {layer.activation for layer in source.layers}:
        return False  # how steep a unit is between the rows cannot be seen on them
    rows = choose_rows(source, rows, 1).rows
    reference, outputs = source.forward(rows), float16_outputs(network, rows)
    if not np.isfinite(outputs).all():
        return False
    if source.task == "regressor":
        r2 = agreement(source, outputs, reference).r2
        return r2 is None or r2 >= PAIRS_R2
    errors = SAFETY * (outputs - reference)
    if len(rows) < FEWEST_ROWS:
        bound = file_bound(source, network, rows)
        assert bound is not None, "there is one for every float16 file"
        errors = bound
    reach = probability_reach(reference, errors, one_of_them=source.head == "softmax", near=near)
    return reach <= PROBABILITY
