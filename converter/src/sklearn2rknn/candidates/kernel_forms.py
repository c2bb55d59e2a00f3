"""The two forms of a kernel of many stored rows: exponentials on the host, or on the NPU."""

from __future__ import annotations

import attrs

from scirknn.steps.kernels import Kernel
from sklearn2rknn.build import Attempt, Job
from sklearn2rknn.errors import ConversionError, RangeError
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.kernel_on_npu import distance_kernel, has_balanced_sums, kernel_on_npu
from sklearn2rknn.toolkit.toolkit import Toolkit

FEWEST_STORED_ROWS = 2000
"""Rows from which on the exponentials pay on the NPU (docs/time-estimate.md)."""

MOST_STORED_ROWS = 8000
"""Inputs of a layer beyond which the toolkit cuts its sums, and rounds them to float16 in between."""

TOOLKITS = ("2.2.0", "2.3.0", "2.3.2")
"""Their softmax looks its exponentials up; that of 2.5.0 errs by 3 %, and no older one was tried."""


@attrs.frozen(eq=False)
class KernelForm:
    """The form that was chosen.

    Attributes
    ----------
    network : Network
        With its host steps.
    built : tuple of (Job, Network, Attempt), or None
        Of the form with exponentials on the NPU, where it was taken.
    text : str
        Which form it is and why; empty where there is no choice.
    """

    network: Network
    built: tuple[Job, Network, Attempt] | None = None
    text: str = ""


def choose_kernel_form(network: Network, job: Job, toolkit: Toolkit) -> KernelForm:
    """Build a kernel with its exponentials on the NPU where that pays, and take it where its check is passed.

    Parameters
    ----------
    network : Network
        As it was read.
    job : Job
        Of `network`.
    toolkit : Toolkit
    """
    kernel = distance_kernel(network)
    if kernel is None or len(kernel.weights) < FEWEST_STORED_ROWS:
        return KernelForm(network)
    reason = _why_not(network, kernel, job)
    if not reason:
        other = kernel_on_npu(network, kernel)
        job = attrs.evolve(job, source=other.without_host_steps())
        try:
            prepared = job.network()
            attempt = job.attempt(toolkit, prepared)
        except (ConversionError, RangeError) as error:
            reason = str(error).splitlines()[0]
        else:
            if not attempt.failed_limit:
                text = f"{len(kernel.weights)} exponentials and their sums on the NPU; the check allows it"
                return KernelForm(other, (job, prepared, attempt), text)
            reason = attempt.failed_limit
    return KernelForm(network, text=f"{len(kernel.weights)} exponentials on the host. On the NPU: {reason}")


def _why_not(network: Network, kernel: Kernel, job: Job) -> str:
    """Return why the exponentials are not tried on the NPU."""
    request, options, rows = job.request, job.request.options, len(kernel.weights)
    if not has_balanced_sums(kernel):
        return "the coefficients do not add up to 0"
    if rows > MOST_STORED_ROWS:
        return f"at most {MOST_STORED_ROWS} stored rows"
    if request.target_platform != "rk3588" or request.toolkit.version not in TOOLKITS:
        return f"only for an RK3588 by the toolkits {', '.join(TOOLKITS)}"
    if not request.is_float16 or options.accuracy == "double":
        return "only in float16, not with accuracy='double'"
    if network.form != "conv" or network.head_on_npu:
        return "only as convolutions, the head on the host"
    return "" if job.rows is not None and options.check != "off" else "only with example_input and the check"
