"""The toolkit's process: imports the toolkit once and runs jobs in a forked child, each with a time limit.

It is started by the toolkit's Python, which may be as old as 3.8, and imports nothing but the standard
library, numpy and ``rknn``. Requests and answers are JSON objects, one a line, on stdin and stdout; files
pass through two folders. A child serves job after job, since a fork costs more than a conversion; it is
replaced once a job has failed or let it grow, and after each job where ``isolation`` is ``job``.

Request: ``{"id", "input", "output", "config", "quantize", "simulate", "timeout", "isolation"}``. The folder
``input``, which may be read-only, holds ``model.onnx`` and, as asked, ``calibration.npy`` and
``simulate.npy``, both float32 of shape (runs, *input shape).
Answer: ``{"id", "ok", "stage", "kind", "reason", "seconds"}``; the folder ``output`` has gained ``log.txt``
and, where ok, ``model.rknn`` and ``simulated.npy``. ``kind`` says how a job failed: ``exception``,
``returned`` (a code that is not 0), ``none`` (no result), ``signal``, ``exit``, ``timeout`` or ``memory``
(the limit of its container). A job works in a folder that is made in ``TOOLKIT_SCRATCH``. When the client
ends, however it does, the worker ends its job and itself.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
from typing import Any, Callable, Iterator, NoReturn

# Python puts this file's folder first on the path; its neighbours must not stand in for the toolkit's
# modules.
if sys.path and os.path.realpath(sys.path[0]) == os.path.dirname(os.path.realpath(__file__)):
    del sys.path[0]

REASON_LIMIT = 2000  # characters of a reason that are passed on
ALLOCATOR = ("MALLOC_PERTURB_", "GLIBC_TUNABLES")  # what glibc has read when this process started
CLIENT = 0  # file descriptor of the requests
GROWTH_LIMIT = 64 << 20  # bytes that a child may keep; beyond, the next job gets another


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


def convert(rknn_class: Any, job: dict[str, Any], enter: Callable[[str], None]) -> None:
    """Build, export and, where asked, simulate the model of a job; `enter` is called with each stage."""
    import numpy

    def call(stage: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        enter(stage)
        code = function(*arguments, **options)
        if code != 0:
            raise Failure("returned", f"{stage} returned {code!r}")

    rknn = rknn_class(verbose=False)
    call("config", rknn.config, **job["config"])
    call("load_onnx", rknn.load_onnx, model=os.path.join(job["input"], "model.onnx"))
    dataset = None
    if job["quantize"]:
        enter("calibration")
        # Written beside the list and named without a folder: the toolkit splits its lines at spaces.
        runs = numpy.load(os.path.join(job["input"], "calibration.npy"), allow_pickle=False)
        names = [f"calibration_{i}.npy" for i in range(len(runs))]
        for name, run in zip(names, runs):
            numpy.save(name, run)
        dataset = "calibration.txt"
        with open(dataset, "w", encoding="utf-8") as file:
            file.write("\n".join(names) + "\n")
    call("build", rknn.build, do_quantization=job["quantize"], dataset=dataset)
    call("export_rknn", rknn.export_rknn, os.path.join(job["output"], "model.rknn"))
    if job["simulate"]:
        call("init_runtime", rknn.init_runtime)
        enter("inference")
        results: list[Any] = []
        for run in numpy.load(os.path.join(job["input"], "simulate.npy"), allow_pickle=False):
            outputs = rknn.inference(inputs=[run], data_format=["nchw"])
            if outputs is None or len(outputs) != 1:
                raise Failure("none", f"inference returned {outputs!r:.80}")
            results.append(numpy.asarray(outputs[0], dtype=numpy.float32))
        numpy.save(os.path.join(job["output"], "simulated.npy"), numpy.stack(results))
    enter("release")
    rknn.release()
    enter("done")


def scratch_folder() -> str:
    """Return the folder that a job works in."""
    return os.path.join(os.environ["TOOLKIT_SCRATCH"], "scratch")


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


def run_job(rknn_class: Any, job: dict[str, Any], tell: Callable[..., None]) -> None:
    """Do one job, with a log and a folder of its own, and tell of its stages and its result."""
    log = os.open(os.path.join(job["output"], "log.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for target in (1, 2):
        os.dup2(log, target)
    os.close(log)
    scratch = scratch_folder()
    os.mkdir(scratch)
    os.chdir(scratch)
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    result: dict[str, Any] = {"ok": True}
    try:
        convert(rknn_class, job, lambda stage: tell(stage=stage))
    except Failure as failure:
        result = {"ok": False, "kind": failure.kind, "reason": str(failure)[:REASON_LIMIT]}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        result = {"ok": False, "kind": "exception", "reason": reason[:REASON_LIMIT]}
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir("/")
    tell(**result)


def serve_jobs(rknn_class: Any, jobs: int, answers: int) -> NoReturn:
    """Do the jobs that come from the pipe `jobs`; what happens goes to `answers`, a JSON object a line."""

    def tell(**values: Any) -> None:
        os.write(answers, (json.dumps(values) + "\n").encode("utf-8"))

    code = 1
    try:
        # A process group of its own, so that the time limit ends whatever the toolkit starts.
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        be_first_victim()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        with os.fdopen(jobs, "rb") as lines:
            for line in lines:
                run_job(rknn_class, json.loads(line.decode("utf-8")), tell)
        code = 0
    finally:
        os._exit(code)


class Child:
    """A forked process that does jobs.

    Attributes
    ----------
    pid : int
    jobs, answers : int
        File descriptors of the pipes to it and from it.
    limit : int
        Bytes of memory beyond which it has grown; 0 before its first job, whose imports are no growth.
    """

    def __init__(self, rknn_class: Any, protocol: int) -> None:
        self.limit = 0
        reader, self.jobs = os.pipe()
        self.answers, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            # The parent's handlers would make the child look like the worker.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for descriptor in (self.jobs, self.answers, protocol):
                os.close(descriptor)
            serve_jobs(rknn_class, reader, writer)
        os.close(reader)
        os.close(writer)

    def do(self, job: dict[str, Any], deadline: float) -> Iterator[dict[str, Any]]:
        """Give it a job; yield what it tells until it has ended the job or itself.

        Raises
        ------
        TimeoutError
        EOFError
            The client has ended.
        """
        try:
            os.write(self.jobs, (json.dumps(job) + "\n").encode("utf-8"))
        except BrokenPipeError:  # it has just died
            return
        pending = b""
        while True:
            left = deadline - time.monotonic()
            ready = select.select([self.answers, CLIENT], [], [], left)[0] if left > 0 else []
            if not ready:
                raise TimeoutError
            if self.answers not in ready:  # a client that waits for an answer sends nothing
                raise EOFError
            block = os.read(self.answers, 65536)
            if not block:
                return
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                values = json.loads(line.decode("utf-8"))
                yield values
                if "ok" in values:
                    return

    def is_dead(self) -> bool:
        """Return whether it has ended since its last job."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def has_grown(self) -> bool:
        """Return whether it has kept more memory than it may."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
                resident = int(file.read().split()[1]) * resource.getpagesize()
        except (OSError, IndexError):  # it is dying
            return True
        self.limit = self.limit or resident + GROWTH_LIMIT
        return resident > self.limit

    def kill(self) -> None:
        """End it and what it has started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # not yet its own group, or gone
            os.kill(self.pid, signal.SIGKILL)

    def end(self, patient: bool = False) -> int:
        """End it, or be patient until it has ended itself, and return its status."""
        os.close(self.jobs)
        os.close(self.answers)
        if patient:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.kill()  # what it has left too, while the process group is still its own
        return os.waitpid(self.pid, 0)[1]


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
        self.child: Any = None

    def end_child(self, patient: bool = False) -> int:
        """End the child, when there is one."""
        child, self.child = self.child, None
        return 0 if child is None else int(child.end(patient))

    def serve(self, job: dict[str, Any]) -> dict[str, Any]:
        """Let a child do one job and tell how it ended."""
        started = time.monotonic()
        killed_before = memory_kills()
        alone = job["isolation"] == "job"
        if self.child is not None and (alone or self.child.is_dead()):
            self.end_child()
        child = self.child = self.child or Child(self.rknn_class, self.protocol)
        timeout = float(job["timeout"])
        answer: dict[str, Any] = {"stage": "start", "kind": "", "reason": ""}
        timed_out = False
        try:
            for values in child.do(job, started + timeout):
                answer.update(values)
        except TimeoutError:
            timed_out = True
        if timed_out:
            self.end_child()
            answer.update(ok=False, kind="timeout", reason=f"it took longer than {timeout:g} s and was ended")
        elif "ok" not in answer:
            status = self.end_child(patient=True)
            if os.WIFSIGNALED(status) and memory_kills() > killed_before:
                answer.update(ok=False, kind="memory", reason="it was ended at its memory limit")
            elif os.WIFSIGNALED(status):
                name = signal.Signals(os.WTERMSIG(status)).name
                answer.update(ok=False, kind="signal", reason=f"its process died of {name}")
            else:
                code = os.WEXITSTATUS(status)
                reason = f"its process ended itself with exit code {code}"
                answer.update(ok=False, kind="exit", reason=reason)
        elif alone or not answer["ok"] or child.has_grown():
            self.end_child()
        shutil.rmtree(scratch_folder(), ignore_errors=True)
        answer.update(id=job.get("id"), seconds=round(time.monotonic() - started, 4))
        return answer


def spare_jobs() -> None:
    """Spare each job what the toolkit does beside converting; called before the toolkit is imported."""
    # The programs that it starts would clear their memory too: "file" then takes four times as long.
    for name in ALLOCATOR:
        os.environ.pop(name, None)
    # Each RKNN() asks for it, and each time it starts "file".
    platform.architecture = functools.lru_cache(maxsize=None)(platform.architecture)
    platform.architecture()
    os.environ["TQDM_DISABLE"] = "1"  # bars that nobody sees


def main() -> int:
    """Serve requests from stdin until it closes."""
    spare_jobs()
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
    try:
        for line in iter(sys.stdin.buffer.readline, b""):
            send(worker.serve(json.loads(line.decode("utf-8"))))
    except (EOFError, BrokenPipeError):  # the client has ended
        pass
    worker.end_child()
    return 0


if __name__ == "__main__":
    sys.exit(main())
