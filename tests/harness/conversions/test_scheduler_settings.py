"""What leaves this machine is encrypted, and options that do not go together are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rknn_harness.commands.cli import main
from rknn_harness.conversions.scheduler import SchedulerSettings
from rknn_harness.conversions.versions import differences, digest_of_files, versions
from rknn_harness.errors import SchedulerError
from rknn_harness.records.outcomes import ExitCode

FILES = ("ca.pem", "cert.pem", "key.pem")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786"])
def test_a_scheduler_on_this_machine_needs_no_certificates(address: str) -> None:
    SchedulerSettings(address).check()


def test_a_scheduler_elsewhere_is_taken_with_certificates() -> None:
    SchedulerSettings("tls://lab.example:8786", *FILES).check()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SchedulerSettings("tcp://lab.example:8786"), "is not encrypted and leaves this machine"),
        (SchedulerSettings("tcp://192.0.2.7:8786"), "give tls://192.0.2.7:8786 with --tls-ca"),
        (SchedulerSettings("tls://lab.example:8786"), "Give --tls-ca, --tls-cert, --tls-key too"),
        (SchedulerSettings("tls://lab.example:8786", "ca.pem"), "Give --tls-cert, --tls-key too"),
        (SchedulerSettings("tcp://127.0.0.1:8786", *FILES), "--tls-ca is for a scheduler at tls://"),
        (SchedulerSettings("127.0.0.1:8786"), "Give tcp://127.0.0.1:PORT"),
        (SchedulerSettings("http://127.0.0.1:8786"), "Give tcp://127.0.0.1:PORT"),
        (SchedulerSettings(""), "Give tcp://127.0.0.1:PORT"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_used_are_refused_with_what_to_give(
    settings: SchedulerSettings, message: str
) -> None:
    with pytest.raises(SchedulerError) as caught:
        settings.check()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scheduler", "tcp://127.0.0.1:1", "--guard", "off"], "with the converter's guards"),
        (["--store", "store", "--guard", "off"], "with the converter's guards"),
        (["--tls-key", __file__], "is for a scheduler"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(words: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["run", *words])
    assert done.exit_code == ExitCode.USAGE
    assert message in " ".join(done.output.split())


def test_versions_are_compared_by_name_and_the_sources_of_ours_count() -> None:
    assert differences(versions()) == ""
    assert differences({**versions(), "scipy": "0.1"}) == f"scipy {versions()['scipy']}, not 0.1"
    assert "+" in versions()["rknn-harness"]


def test_a_changed_table_beside_the_sources_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    for name in ("module.py", "table.json", "__pycache__/module.pyc"):
        (tmp_path / name).write_text("1")
    first = digest_of_files(tmp_path)
    (tmp_path / "__pycache__" / "module.pyc").write_text("2")
    assert digest_of_files(tmp_path) == first
    (tmp_path / "table.json").write_text("2")
    assert digest_of_files(tmp_path) != first
