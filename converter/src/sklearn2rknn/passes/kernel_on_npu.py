r"""A kernel of distances with its exponentials and sums on the NPU too.

The NPU's one exponential is that of a softmax: :math:`p_i = e^{z_i} / S`. One exponent more, which is always
0, has the share :math:`1 / S`. A second layer sums :math:`y = \sum_i A_i p_i` and hands that share on, and
the host divides by it: :math:`\sum_i A_i e^{z_i} = y S`.

A table gives the exponentials: it adds :math:`2^{-15}` to each and has nothing below :math:`e^{-10}`. An
amount that all of them have too much cancels where the coefficients of each sum add up to 0, as those of SVC,
NuSVC, SVR and NuSVR do; of others it is too much an error.
"""

from __future__ import annotations

import attrs
import numpy as np

from scirknn.bundle import Bundle
from scirknn.steps.kernels import Kernel, Quotients
from sklearn2rknn.network.layer import SOFTMAX, Layer
from sklearn2rknn.network.network import Network

BALANCED = 1e-6
"""Share of the coefficients' sizes that their sum may be: libsvm's steps keep it, up to rounding."""


def distance_kernel(network: Network) -> Kernel | None:
    """Return the step that sums exponentials of distances to stored rows; None where there is none."""
    match network.layers, network.epilogue:
        case (_,), (Kernel(functions=("rbf",)) as kernel, *_):
            return kernel
    return None


def has_balanced_sums(kernel: Kernel) -> bool:
    """Whether the coefficients of each sum add up to 0."""
    sums, sizes = kernel.weights.sum(axis=0), np.abs(kernel.weights).sum(axis=0)
    return bool((np.abs(sums) <= BALANCED * sizes).all())


def kernel_on_npu(network: Network, kernel: Kernel) -> Network:
    """Return the same function with the exponentials on the NPU.

    Parameters
    ----------
    network : Network
        As it was read.
    kernel : Kernel
        Its `distance_kernel`.
    """
    exponents = network.layers[0]
    softmax = Layer(np.pad(exponents.weights, ((0, 0), (0, 1))), np.append(exponents.bias, 0.0), SOFTMAX)
    sums = np.pad(kernel.weights, ((0, 1), (0, 1)))
    sums[-1, -1] = 1.0
    return attrs.evolve(
        network,
        layers=(softmax, Layer(sums, np.zeros(sums.shape[1]), "identity")),
        epilogue=(Quotients(kernel.bias), *network.epilogue[1:]),
    )


def in_form_of(network: Network, bundle: Bundle) -> Network:
    """Return a network as it was read in the form that a bundle of it has."""
    kernel, is_on_npu = distance_kernel(network), isinstance(next(iter(bundle.epilogue), None), Quotients)
    return kernel_on_npu(network, kernel) if is_on_npu and kernel is not None else network
