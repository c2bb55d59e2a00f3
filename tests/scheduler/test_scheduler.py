"""What a scheduler, its workers or the connection cannot do is an error at once, or the case's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rknn_harness.conformance.trial import Ending
from rknn_harness.conversions import scheduler as scheduler_module
from rknn_harness.conversions.scheduler import Scheduler, SchedulerSettings
from rknn_harness.conversions.task import ConversionTask
from rknn_harness.conversions.versions import versions
from rknn_harness.errors import SchedulerError
from rknn_harness.records.case import dataset_case
from rknn_harness.records.outcomes import Outcome
from tests.scheduler.cluster import TOOLKIT, Cluster
from tests.waiting import PATIENCE

pytestmark = pytest.mark.timeout(600)

ERRORS = {"iris": OSError, "wine": TimeoutError}


def task(name: str = "iris") -> ConversionTask:
    return ConversionTask(dataset_case(name, "float16", TOOLKIT, (64,)), TOOLKIT)


def end_process(document: Mapping[str, Any]) -> bytes:
    if document["case"]["spec"]["name"] == "wine":
        os.kill(os.getpid(), signal.SIGKILL)
    return b"done"


def fail(document: Mapping[str, Any]) -> bytes:
    raise ERRORS[document["case"]["spec"]["name"]]("no answer from the disk")


def keep_waiting(document: Mapping[str, Any]) -> bytes:
    if document["case"]["spec"]["name"] != "wine":
        time.sleep(PATIENCE)
    return b"done"


def test_a_toolkit_that_no_worker_has_is_an_error_at_once(cluster: Cluster) -> None:
    with pytest.raises(SchedulerError, match=r"No worker .* toolkit-2\.5\.0; they have toolkit-2\.3\.2"):
        Scheduler(SchedulerSettings(cluster.address), [TOOLKIT, "2.5.0"])


def test_workers_with_other_versions_are_named_with_both(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "versions", lambda: {**versions(), "numpy": "0.1"})
    with pytest.raises(SchedulerError, match=rf"Worker tcp://.* has numpy {versions()['numpy']}, not 0\.1"):
        Scheduler(SchedulerSettings(cluster.address), [TOOLKIT])


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_on_a_worker_is_the_cases_own(cluster: Cluster, name: str) -> None:
    with Scheduler(SchedulerSettings(cluster.address), [TOOLKIT], fail) as engine:
        ending = engine.result(task(name))
    assert isinstance(ending, Ending)
    assert ending.outcome is Outcome.INFRA_ERROR
    assert "no answer from the disk" in ending.reason


def test_a_conversion_that_ends_its_workers_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    with Cluster(tmp_path / "cluster", workers=3) as cluster:
        with Scheduler(SchedulerSettings(cluster.address), [TOOLKIT], end_process) as engine:
            kept: dict[str, bytes] = {}
            tasks = [task(name) for name in ("wine", "iris", "xor", "digits")]
            engine.start(tasks, kept.__setitem__)
            ending, *others = [engine.result(each) for each in tasks]
        assert isinstance(ending, Ending)
        assert ending.outcome is Outcome.INFRA_ERROR
        assert "ended several workers" in ending.reason
        assert others == [b"done"] * 3


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP], ids=lambda by: by.name)
def test_a_scheduler_that_is_lost_costs_what_it_had_not_handed_over_and_is_not_asked_again(
    tmp_path: Path, by: signal.Signals, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [task(name) for name in ("wine", "iris", "xor")]
    with Cluster(tmp_path / "cluster", workers=1) as cluster:
        with Scheduler(SchedulerSettings(cluster.address), [TOOLKIT], keep_waiting) as engine:
            engine.start(tasks, None)
            assert engine.result(tasks[0]) == b"done"
            monkeypatch.setattr(scheduler_module, "LONGEST_WITHOUT_ANSWER", 1.0)
            cluster.kill(0, by)
            endings = [engine.result(each) for each in (*tasks[1:], tasks[0])]
    assert isinstance(endings[0], Ending)
    assert endings == [endings[0]] * 3  # one cause, and so one paragraph of the run's end
    assert endings[0].outcome is Outcome.INFRA_ERROR
    assert f"The scheduler at {cluster.address} was lost" in endings[0].reason
    assert "Resume the run" in endings[0].reason
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP], ids=lambda by: by.name)
def test_a_toolkit_whose_last_worker_is_gone_ends_the_cases_that_wait_for_it(
    tmp_path: Path, by: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "LONGEST_WITHOUT_WORKER", 1.0)
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "5s")
    tasks = [task("wine"), task("iris")]
    with Cluster(tmp_path / "cluster", workers=1) as cluster:
        with Scheduler(SchedulerSettings(cluster.address), [TOOLKIT], keep_waiting) as engine:
            cluster.kill(1, by)
            engine.start(tasks, None)
            endings = [engine.result(each) for each in tasks]
    assert isinstance(endings[0], Ending)
    assert "no worker has had toolkit-2.3.2" in endings[0].reason
    assert endings == [endings[0]] * 2


def test_a_scheduler_that_is_gone_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler_module, "CONNECT_SECONDS", 1.0)
    with pytest.raises(SchedulerError, match=r"No scheduler answers at tcp://127\.0\.0\.1:9"):
        Scheduler(SchedulerSettings("tcp://127.0.0.1:9"), [TOOLKIT])


def certificates(folder: Path) -> tuple[str, str, str]:
    """Return files of an authority's certificate, and of a certificate, here the same, and its key."""
    folder.mkdir()
    authority, key = str(folder / "ca.pem"), str(folder / "key.pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-keyout", key, "-out", authority, "-days", "2", "-subj", "/CN=lab"]
    subprocess.run(command, check=True, capture_output=True)
    return authority, authority, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_an_encrypted_scheduler_takes_its_authoritys_certificates_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, others = certificates(tmp_path / "ours"), certificates(tmp_path / "others")
    names = ("ca-file", "cert", "key")
    options = [word for name, path in zip(names, ours, strict=True) for word in (f"--tls-{name}", path)]
    monkeypatch.setattr(scheduler_module, "CONNECT_SECONDS", 5.0)
    with Cluster(tmp_path / "cluster", workers=1, tls=options) as cluster:
        assert cluster.address.startswith("tls://127.0.0.1:")
        with Scheduler(SchedulerSettings(cluster.address, *ours), [TOOLKIT], end_process) as engine:
            assert engine.result(task()) == b"done"
        with pytest.raises(SchedulerError, match="No scheduler answers at tls://"):
            Scheduler(SchedulerSettings(cluster.address, *others), [TOOLKIT])


def test_a_run_without_a_scheduler_does_not_import_dask() -> None:
    code = "import rknn_harness.suite.pytest_plugin, sys; print('distributed' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
