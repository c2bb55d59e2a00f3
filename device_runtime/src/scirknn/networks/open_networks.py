"""A bundle's network on each device that it may be computed on, and the faster one for a call."""

from __future__ import annotations

from typing import Mapping

from scirknn.bundle.contents import Bundle
from scirknn.devices.compatibility import require_compatible
from scirknn.devices.open_model import open_contexts, require_core
from scirknn.devices.runtimes import Runtime, require_runtime
from scirknn.devices.session import has_npu
from scirknn.networks.costs import CallTimes, read_costs
from scirknn.networks.cpu import CpuNetwork
from scirknn.networks.network import Network
from scirknn.networks.npu import NpuNetwork


class OpenNetworks:
    """The networks by device: none where the host computes all, and one or both of NPU and CPU.

    Parameters
    ----------
    networks : mapping of str to Network
    runtime : Runtime
        What runs the files on the NPU.
    times : CallTimes, optional
        Where there are two.
    """

    def __init__(
        self, networks: Mapping[str, Network], runtime: Runtime, times: CallTimes | None = None
    ) -> None:
        self._networks, self.runtime, self._times = networks, runtime, times
        self.workers = max((network.workers for network in networks.values()), default=1)
        self.watch_range = any(network.watches_range for network in networks.values())

    def device_for(self, rows: int) -> str:
        """Return where a call of so many rows is computed: "npu", "virtual" or "cpu"."""
        if self._times is not None:
            return "npu" if self._times.is_npu_faster(rows) else "cpu"
        return next(iter(self._networks), "cpu")

    def for_rows(self, rows: int) -> Network | None:
        """Return the network for a call of so many rows; None where there is none."""
        return self._networks.get(self.device_for(rows))

    def require_own_process(self) -> None:
        """Refuse a process forked from the one that opened the contexts (NativeError).

        On "auto" this is for any number of rows: another thread may have held a lock at the fork.
        """
        for network in self._networks.values():
            network.require_own_process()

    def close(self) -> None:
        """Release all; more than once does no harm."""
        for network in self._networks.values():
            network.close()


def open_networks(bundle: Bundle, device: str, core: str, runtime: str = "auto") -> OpenNetworks:
    """Open a bundle's network on `device`; on "auto" the CPU's, and the NPU's where there is one.

    `runtime` is one of `scirknn.devices.runtimes.RUNTIMES`.

    Raises
    ------
    InputError
        Another `core` or `runtime`, or damaged costs.
    BundleError
        The weights for the CPU are missing or damaged.
    DeviceError, NativeError
        The NPU's runtime is missing, or refused the model.
    """
    require_core(core)
    require_runtime(runtime)
    if bundle.on_host:
        return OpenNetworks({}, Runtime("host", "the model has no file for an NPU"))
    networks: dict[str, Network] = {}
    times, opened = None, Runtime("host", f"device={device!r}")
    if device in ("cpu", "auto"):
        networks["cpu"] = CpuNetwork(bundle)
    if device == "auto" and has_npu():
        times = CallTimes(bundle, read_costs())
    npu = "npu" if times is not None else device
    if npu in ("npu", "virtual"):
        if npu == "npu":
            require_compatible(bundle.details.get("toolkit"))
        model = open_contexts(bundle, npu, core, runtime)
        networks[npu], opened = NpuNetwork(bundle, model.contexts), model.runtime
    return OpenNetworks(networks, opened, times)
