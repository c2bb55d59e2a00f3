"""The toolkit's process: imports the toolkit once and runs each job in a forked child with a time limit.

It is started by the toolkit's Python, which may be as old as 3.8, and imports nothing but the standard
library, numpy and ``rknn``. Requests and answers are JSON objects, one a line, on stdin and stdout; files
pass through a job folder.

Request: ``{"id", "folder", "config", "quantize", "simulate", "timeout"}``. The folder holds ``model.onnx``
and, as asked, ``calibration.npy`` and ``simulate.npy``, both float32 of shape (runs, *input shape).
Answer: ``{"id", "ok", "stage", "kind", "reason", "seconds"}``; the folder has gained ``log.txt`` and, where
ok, ``model.rknn`` and ``simulated.npy``. ``kind`` tells how a job failed: ``exception``, ``returned`` (a
code that is not 0), ``none`` (no result), ``signal``, ``exit``, ``timeout`` or ``memory`` (the limit of its
container). A job works in a scratch folder inside its own, or where ``TOOLKIT_SCRATCH`` says.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from typing import Any, Callable, NoReturn

# Python puts this file's folder first on the path; its neighbours must not stand in for the toolkit's
# modules.
if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

REASON_LIMIT = 2000  # characters of a reason that are passed on


class Failure(Exception):
    """A stage failed.

    Attributes
    ----------
    kind : str
        As in an answer.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def convert(rknn_class: Any, job: dict[str, Any], folder: str, enter: Callable[[str], None]) -> None:
    """Build, export and, where asked, simulate the model in `folder`; `enter` is told each stage."""
    import numpy

    def call(stage: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        enter(stage)
        code = function(*arguments, **options)
        if code != 0:
            raise Failure("returned", f"{stage} returned {code!r}")

    rknn = rknn_class(verbose=False)
    call("config", rknn.config, **job["config"])
    call("load_onnx", rknn.load_onnx, model=os.path.join(folder, "model.onnx"))
    dataset = None
    if job["quantize"]:
        enter("calibration")
        # Written beside the list and named without a folder: the toolkit splits its lines at spaces.
        runs = numpy.load(os.path.join(folder, "calibration.npy"), allow_pickle=False)
        names = [f"calibration_{i}.npy" for i in range(len(runs))]
        for name, run in zip(names, runs):
            numpy.save(name, run)
        dataset = "calibration.txt"
        with open(dataset, "w", encoding="utf-8") as file:
            file.write("\n".join(names) + "\n")
    call("build", rknn.build, do_quantization=job["quantize"], dataset=dataset)
    call("export_rknn", rknn.export_rknn, os.path.join(folder, "model.rknn"))
    if job["simulate"]:
        call("init_runtime", rknn.init_runtime)
        enter("inference")
        results: list[Any] = []
        for run in numpy.load(os.path.join(folder, "simulate.npy"), allow_pickle=False):
            outputs = rknn.inference(inputs=[run], data_format=["nchw"])
            if outputs is None or len(outputs) != 1:
                raise Failure("none", f"inference returned {outputs!r:.80}")
            results.append(numpy.asarray(outputs[0], dtype=numpy.float32))
        numpy.save(os.path.join(folder, "simulated.npy"), numpy.stack(results))
    enter("done")


def scratch_folder(job: dict[str, Any]) -> str:
    """Return the folder that a job works in."""
    return os.path.join(os.environ.get("TOOLKIT_SCRATCH", job["folder"]), "scratch")


def memory_kills() -> int:
    """Count what the kernel killed at the memory limit of this control group: version 2's file, or 1's."""
    for path in ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"):
        try:
            with open(path, encoding="ascii") as file:
                return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except (OSError, ValueError):
            continue
    return 0


def be_first_victim() -> None:
    """At the memory limit the kernel is to take the job, not the worker that tells of it."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:
        pass


def run_child(rknn_class: Any, job: dict[str, Any], answer: int) -> NoReturn:
    """Do one job and end the process; stages and result go to the pipe `answer`, a JSON object a line."""

    def tell(**values: Any) -> None:
        os.write(answer, (json.dumps(values) + "\n").encode("utf-8"))

    code = 1
    try:
        # A process group of its own, so that the time limit ends whatever the toolkit starts.
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        be_first_victim()
        folder = job["folder"]
        log = os.open(os.path.join(folder, "log.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        scratch = scratch_folder(job)
        os.mkdir(scratch)
        os.chdir(scratch)
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        try:
            convert(rknn_class, job, folder, lambda stage: tell(stage=stage))
            tell(ok=True)
        except Failure as failure:
            tell(ok=False, kind=failure.kind, reason=str(failure)[:REASON_LIMIT])
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            tell(ok=False, kind="exception", reason=reason[:REASON_LIMIT])
        sys.stdout.flush()
        sys.stderr.flush()
        code = 0
    finally:
        os._exit(code)


class Worker:
    """Serves one client.

    Parameters
    ----------
    rknn_class : type
        ``rknn.api.RKNN``.
    protocol : int
        File descriptor of the answers; children must not hold it.
    """

    def __init__(self, rknn_class: Any, protocol: int) -> None:
        self.rknn_class = rknn_class
        self.protocol = protocol
        self.child = 0

    def end_child(self, *_: Any) -> None:
        """Kill the running job, when there is one."""
        if self.child:
            try:
                os.killpg(self.child, signal.SIGKILL)
            except ProcessLookupError:  # not yet its own group, or gone
                os.kill(self.child, signal.SIGKILL)

    def serve(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run one job in a child and tell how it ended."""
        started = time.monotonic()
        killed_before = memory_kills()
        reader, writer = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            # The parent's handlers would make the child look like the worker.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.close(reader)
            os.close(self.protocol)
            run_child(self.rknn_class, job, writer)
        os.close(writer)
        timeout = float(job["timeout"])
        text, timed_out = self._read(reader, started + timeout)
        os.close(reader)
        if timed_out:
            self.end_child()
        # What the job started and left is ended too, while its process group is still its own.
        os.waitid(os.P_PID, self.child, os.WEXITED | os.WNOWAIT)
        self.end_child()
        _, status = os.waitpid(self.child, 0)
        self.child = 0
        shutil.rmtree(scratch_folder(job), ignore_errors=True)
        answer: dict[str, Any] = {"ok": False, "stage": "start", "kind": "exit", "reason": ""}
        told = False
        for line in text.decode("utf-8", "replace").splitlines():
            try:
                values = json.loads(line)
            except ValueError:  # cut short by the child's death
                continue
            told = told or "ok" in values
            answer.update(values)
        if timed_out:
            answer.update(ok=False, kind="timeout", reason=f"it took longer than {timeout:g} s and was ended")
        elif os.WIFSIGNALED(status) and memory_kills() > killed_before:
            answer.update(ok=False, kind="memory", reason="it was ended at its memory limit")
        elif os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            answer.update(ok=False, kind="signal", reason=f"its process died of {name}")
        elif not told or os.WEXITSTATUS(status):
            code = os.WEXITSTATUS(status)
            answer.update(ok=False, kind="exit", reason=f"its process ended itself with exit code {code}")
        answer.update(id=job.get("id"), seconds=round(time.monotonic() - started, 4))
        return answer

    @staticmethod
    def _read(reader: int, deadline: float) -> Any:
        """Read until the child closes the pipe or the deadline passes: (bytes, whether it passed)."""
        blocks: list[bytes] = []
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([reader], [], [], left)[0]:
                return b"".join(blocks), True
            block = os.read(reader, 65536)
            if not block:
                return b"".join(blocks), False
            blocks.append(block)


def main() -> int:
    """Serve requests from stdin until it closes."""
    # The toolkit prints to file descriptor 1: what it prints must not mix with the answers.
    protocol = os.dup(1)
    os.dup2(2, 1)

    def send(values: dict[str, Any]) -> None:
        data = (json.dumps(values) + "\n").encode("utf-8")
        while data:
            data = data[os.write(protocol, data) :]

    started = time.monotonic()
    try:
        from rknn.api import RKNN
    except BaseException as error:
        send({"ready": False, "reason": f"{type(error).__name__}: {error}"[:REASON_LIMIT]})
        return 1
    worker = Worker(RKNN, protocol)

    def stop(*_: Any) -> NoReturn:
        worker.end_child()
        os._exit(1)

    signal.signal(signal.SIGTERM, stop)
    python = "{}.{}.{}".format(*sys.version_info[:3])
    send({"ready": True, "python": python, "seconds": round(time.monotonic() - started, 4)})
    for line in iter(sys.stdin.buffer.readline, b""):
        send(worker.serve(json.loads(line.decode("utf-8"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
