"""Where predictions go, what they do not replace, and what Ctrl-C leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scirknn.cli.commands import main
from tests.device_runtime.cli.test_commands import X, csv_file, lines_of
from tests.device_runtime.conftest import MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_an_output_may_be_behind_options(make_bundle: MakeBundle, tmp_path: Path) -> None:
    given, output = csv_file(tmp_path / "in.csv"), tmp_path / "out.csv"
    model = str(make_bundle(fitted("softmax")))
    assert main(["predict", model, given, "--proba", str(output)]) == 0
    assert len(lines_of(output)) == len(X) + 1
    for rest in (["--proba", "a.csv", "b.csv"], ["a.csv", "--proba", "b.csv"], ["--none"]):
        with pytest.raises(SystemExit) as caught:
            main(["predict", model, given, *rest])
        assert caught.value.code == 2


def test_predictions_replace_nothing_that_they_are_made_from(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, model = csv_file(tmp_path / "in.csv"), str(make_bundle(fitted("softmax")))
    (tmp_path / "link.csv").symlink_to(given)
    for output in (given, str(tmp_path / "link.csv"), model, f"{model}.json"):
        before = Path(output).read_bytes()
        assert main(["predict", model, given, output]) == 1
        assert f"Predictions would replace {output}" in capsys.readouterr().err
        assert Path(output).read_bytes() == before


def test_ctrl_c_ends_with_a_line_and_130(
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    given, output, model = (
        csv_file(tmp_path / "in.csv"),
        tmp_path / "out.csv",
        str(make_bundle(fitted("softmax"))),
    )
    monkeypatch.setattr("scirknn.cli.table_files.CsvColumns.values", interrupted)
    assert main(["predict", model, given, str(output)]) == 130
    assert capsys.readouterr().err == "scirknn: interrupted\n"
    assert not output.exists()
