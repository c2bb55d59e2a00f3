"""Change a network's numbers, not what it computes, so that a narrow number format holds them.

Everything here is exact in real numbers and done in float64: what a map on the host takes away, the
neighbouring layer's weights put back.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from sklearn2rknn.bias_limits import fit_biases
from sklearn2rknn.check import agreement, choose_rows
from sklearn2rknn.error_bounds import file_bound
from sklearn2rknn.errors import OptionError
from sklearn2rknn.halves import halve
from sklearn2rknn.kernel_scales import even_kernels
from sklearn2rknn.network import Affine, Floats, Layer, Network, composed
from sklearn2rknn.range_guard import (
    FLOAT16_MAX,
    FLOAT16_TINIEST,
    FLOAT32_MAX,
    refuse_overflow,
    refuse_starvation,
)
from sklearn2rknn.reach import REACH, with_reach
from sklearn2rknn.refinement import refine
from sklearn2rknn.remainders import carry_remainders, float16_outputs
from sklearn2rknn.spans import Spans
from sklearn2rknn.tensor_ranges import known_of_inputs, tensor_ranges, through
from sklearn2rknn.tolerances import (
    FEWEST_ROWS,
    LARGE,
    NEAR,
    PAIRS_R2,
    PROBABILITY,
    SAFETY,
    probability_reach,
)

__all__ = [
    "ACCURACIES",
    "balance",
    "bring_into_float16",
    "collapse_constant",
    "condition",
    "count_weights",
    "merge_linear",
    "scale_input",
    "scale_output",
]

FLOAT16_SAFE = 2.0**12
"""Range of a hidden layer up to which rows outside the example have a factor of 16 to spare."""

FLOAT16_WIDE = 2.0**15
"""The same for a range that bounds give: they are wide themselves."""

INT16_WIDE = 2.0**10
"""What int16, which ends at 2**14, is given in relu and identity layers, and for outputs that hardly vary."""

FLOAT16_FEW = 2.0**-6
"""Range below which too few of a layer's numbers are left above float16's subnormals."""


ACCURACIES = ("auto", "single", "double")
"""One float16 number for each value between layers, two, or two where one is not enough."""

HIDDEN_TABLES = ("tanh", "logistic")

FLOAT64_TINY = 1e-300  # its inverse is still finite


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
        Form of tanh and logistic in float16; int8 takes the plain one, int16 has its own, `halves`.
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
            network = scale_input(network, *_mean_and_deviation(rows))
        elif network.spans is not None:
            network = scale_input(network, *_shift_and_power(network.spans))
        network = _bring_output(bring_into_float16(network, rows), rows)
        refuse_starvation(network, rows)
    elif rows is not None:
        # Not by the extremes: then a row beyond them would be cut off, however little the column varies.
        network = scale_input(network, *_mean_and_deviation(rows))
        network = balance(network, rows, INT16_WIDE if precision == "int16" else np.inf)
        if not network.head_on_npu:
            middle, half = _middle_and_half(network.activations(rows)[-1])
            if precision == "int16":
                half = np.maximum(half, _largest(network.layers[-1], middle) / INT16_WIDE)
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


def _mean_and_deviation(columns: Floats) -> tuple[Floats, Floats]:
    # By a power of two of their size, whose square may be infinite or 0.
    size = 2.0 ** np.floor(np.log2(_unit(np.abs(columns).max(axis=0))))
    columns = columns / size
    deviation = columns.std(axis=0)
    # The mean of equal numbers is another number by up to a rounding a row: no deviation to divide by.
    rounding = len(columns) * 2.0**-52 * np.abs(columns).max(axis=0)
    return columns.mean(axis=0) * size, _unit(np.where(deviation > rounding, deviation, 0.0) * size)


def _middle_and_half(columns: Floats) -> tuple[Floats, Floats]:
    low, high = columns.min(axis=0), columns.max(axis=0)
    # Halved first: the difference of two large numbers may be infinite.
    return low / 2 + high / 2, _unit(high / 2 - low / 2)


def _largest(layer: Layer, offset: Floats | float = 0.0) -> Floats:
    largest: Floats = np.maximum(np.abs(layer.weights).max(axis=0), np.abs(layer.bias - offset))
    return largest


def _unit(sizes: Floats) -> Floats:
    """Return the sizes, or 1 for a column that does not vary, should it vary later."""
    return np.where((sizes > FLOAT64_TINY) & np.isfinite(sizes), sizes, 1.0)


def collapse_constant(network: Network) -> Network:
    """Replace a network that does not depend on X by one layer of zero weights with the constant as bias.

    The toolkit refuses a layer whose weights are all 0, or round to 0 in float16, and one that follows relus
    which never fire. Past such a layer nothing depends on X, so the replacement is exact; for weights that
    round to 0 it is the network at X = 0, the middle of the rows once they are scaled. That is more than the
    NPU would compute: what such a weight makes of a constant input, a sigmoid's 0.5 say, is not lost.
    """
    if not _is_constant(network):
        return network
    values = np.zeros((1, network.n_features_in))
    for layer in network.layers:
        values = layer.forward(values)
    only = Layer(np.zeros((network.n_features_in, network.n_outputs)), values[0], "identity")
    return attrs.evolve(network, layers=(only,))


def _is_constant(network: Network) -> bool:
    """Whether some layer's result is the same for every X."""
    fires = np.ones(network.n_features_in, dtype=bool)  # which inputs of the layer can differ from 0
    positive = False  # and whether they are never negative
    for layer in network.layers:
        weights = layer.weights[fires]
        if np.abs(weights).max(initial=0.0) <= FLOAT16_TINIEST:
            return True
        relu = layer.activation == "relu"
        rises = (weights > 0 if positive else weights != 0).any(axis=0)
        fires = rises | (layer.bias > 0) if relu else np.ones(len(layer.bias), dtype=bool)
        positive = relu
    return False


def merge_linear(network: Network) -> Network:
    """Multiply layers with no activation between them into one, where that makes no more weights.

    Nothing is lost, and a narrow format rounds once less.
    """
    layers = [network.layers[0]]
    for layer in network.layers[1:]:
        before = layers[-1]
        merged = before.weights.shape[0] * layer.weights.shape[1]
        if before.activation == "identity" and merged <= before.weights.size + layer.weights.size:
            layers[-1] = Layer(
                before.weights @ layer.weights,
                before.bias @ layer.weights + layer.bias,
                layer.activation,
            )
        else:
            layers.append(layer)
    return attrs.evolve(network, layers=tuple(layers))


def balance(network: Network, rows: Floats, most: float = np.inf) -> Network:
    """Bring the channels of a hidden layer closer to one range, for a format with one step for all of them.

    relu and identity let a positive factor through: channel j of range r_j (the largest magnitude over
    `rows`) is divided by sqrt(r_j), and the next layer's weights for it are multiplied. The root is a
    compromise: dividing by r_j itself gives the channels one range and their weights of the next layer,
    which share one step too, many. Measured on small networks it beats both r_j and the ratio of Nagel et
    al. 2019 (Data-free quantization through weight equalization and bias correction). No sum, weight or bias
    of a channel is left above `most`.
    """

    def divisor(layer: Layer, values: Floats) -> Floats:
        ranges = np.abs(layer.forward(values)).max(axis=0)
        sums = np.abs(values @ layer.weights + layer.bias).max(axis=0)
        root = np.sqrt(np.where(ranges > 0, ranges, 1.0))  # a channel that is always 0 keeps its weights
        factors: Floats = np.maximum(root, np.maximum(sums, _largest(layer)) / most)
        return factors

    return _rescale(network, rows, divisor)


def bring_into_float16(network: Network, rows: Floats | None) -> Network:
    """Divide hidden relu and identity layers that leave the window of float16 by powers of two, per channel.

    The window is that of the ranges which example rows or, without, known inputs give each channel; where
    nothing is known, that of the weights.
    """
    layers = list(network.layers)
    given = known_of_inputs(network) if rows is None else network.prepare(rows)
    for i in range(len(layers) - 1):
        layer, after = layers[i], layers[i + 1]
        result = _result(layer, given)
        if layer.activation in ("relu", "identity"):
            factors = _divisors(layer, result)
            if (factors != 1).any():
                layers[i] = Layer(layer.weights / factors, layer.bias / factors, layer.activation)
                layers[i + 1] = Layer(after.weights * factors[:, None], after.bias, after.activation)
                result = _result(layers[i], given)
        given = result
    return attrs.evolve(network, layers=tuple(layers))


def _result(layer: Layer, given: Floats | Spans) -> Floats | Spans:
    return through(layer, given) if isinstance(given, Spans) else layer.forward(given)


def _bring_output(network: Network, rows: Floats | None) -> Network:
    """Centre and scale a regressor's outputs where rows tell how, and others that leave float16's window."""
    if network.head_on_npu:
        return network  # it takes them as they are
    if rows is None:
        factors = _divisors(network.layers[-1], tensor_ranges(network, None)[-1])
        return network if (factors == 1).all() else scale_output(network, np.zeros_like(factors), factors)
    outputs = network.activations(rows)[-1]
    if network.task == "regressor" or not FLOAT16_FEW <= np.abs(outputs).max() <= FLOAT16_SAFE:
        network = scale_output(network, *_mean_and_deviation(outputs))
    return network


def _shift_and_power(spans: Spans) -> tuple[Floats, Floats]:
    """Return what to take from inputs of known range, and to divide them by; nothing where they do well."""
    with np.errstate(invalid="ignore"):
        middle = np.where(spans.known, spans.low / 2 + spans.high / 2, 0.0)
        half = np.where(spans.known, spans.high / 2 - spans.low / 2, 1.0)
    far = np.abs(middle) > half
    return np.where(far, middle, 0.0), _powers(half, FLOAT16_FEW, FLOAT16_WIDE, 1.0)


def _divisors(layer: Layer, result: Floats | Spans) -> Floats:
    """Return what to divide a layer's channels by, from what is known best of them."""
    weights = np.maximum(np.abs(layer.weights).max(axis=0), np.abs(layer.bias))
    by_weights = _powers(weights, FLOAT16_FEW**2, FLOAT16_SAFE, 1.0)
    if isinstance(result, Spans):
        ranges, many, goal = result.largest, FLOAT16_WIDE, FLOAT16_SAFE
    else:
        ranges, many, goal = np.abs(result).max(axis=0), FLOAT16_SAFE, 1.0
    # Of a channel without range, or that no row of the example switches on, the weights tell.
    known = np.isfinite(ranges) & (ranges > 0)
    by_range = _powers(np.where(known, ranges, 0.0), FLOAT16_FEW, many, goal)
    # A small difference of large numbers cannot become large itself.
    bearable = 2.0 ** np.ceil(np.log2(np.maximum(weights, FLOAT64_TINY) / FLOAT16_WIDE))
    return np.where(known, np.maximum(by_range, bearable), by_weights)


def _powers(sizes: Floats, few: float, many: float, goal: float) -> Floats:
    """Return powers of two that bring sizes near the goal, if any is out of the window, else ones."""
    live = sizes[sizes > FLOAT64_TINY]
    if not len(live) or (live.min() >= few and live.max() <= many):
        return np.ones_like(sizes)
    exponents = np.ceil(np.log2(np.where(sizes > FLOAT64_TINY, sizes, goal) / goal))
    # Half of float64's exponents, so that neither the factor nor its use for a weight overflows.
    return np.asarray(2.0 ** np.clip(exponents, -500, 500))


def _rescale(network: Network, rows: Floats, divisor: Callable[[Layer, Floats], Floats]) -> Network:
    """Divide each hidden relu or identity channel by what `divisor` says, and multiply in the next layer."""
    layers = list(network.layers)
    values = network.prepare(rows)
    for i in range(len(layers) - 1):
        if layers[i].activation in ("relu", "identity"):
            factors = divisor(layers[i], values)
            layer, after = layers[i], layers[i + 1]
            layers[i] = Layer(layer.weights / factors, layer.bias / factors, layer.activation)
            layers[i + 1] = Layer(after.weights * factors[:, None], after.bias, after.activation)
        values = layers[i].forward(values)
    return attrs.evolve(network, layers=tuple(layers))


def scale_input(network: Network, offset: Floats, unit: Floats) -> Network:
    """Give the host the map ``(x - offset) / unit``, and the first layer its inverse."""
    if not offset.any() and (unit == 1).all():
        return network
    first = network.layers[0]
    folded = Layer(first.weights * unit[:, None], first.bias + offset @ first.weights, first.activation)
    spans = None if network.spans is None else network.spans.map(offset, 1.0 / unit)
    return attrs.evolve(
        network, layers=(folded, *network.layers[1:]), input=Affine(offset, 1.0 / unit), spans=spans
    )


def scale_output(network: Network, offset: Floats, unit: Floats) -> Network:
    """Let the last layer give ``(v - offset) / unit``, and the host map it back."""
    last = network.layers[-1]
    folded = Layer(last.weights / unit, (last.bias - offset) / unit, "identity")
    # As the host's map is written: (v - (-offset / unit)) * unit.
    output = composed(Affine(-offset / unit, unit), network.output)
    return attrs.evolve(network, layers=(*network.layers[:-1], folded), output=output)
