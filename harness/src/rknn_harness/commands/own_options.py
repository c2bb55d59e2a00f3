"""``rknn-harness run --model``: its options, checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from rknn_harness.errors import OwnModelError
from scirknn import read_bundle
from scirknn.cli.table_files import HEADERS
from sklearn2rknn.file_path import FilePath

if TYPE_CHECKING:
    from rknn_harness.models.own_model import OwnFiles


def own_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that give a run models of the user's own."""
    for option in reversed(
        [
            click.option(
                "--model",
                "models",
                type=FilePath(),
                multiple=True,
                help="Your own fitted model (.skops, .pkl, .joblib) or bundle (.rknn), in place of the "
                "suite's; several are possible.",
            ),
            click.option("--rows", type=FilePath(), help="Rows of X to judge it on, .npy or CSV."),
            click.option("--y", type=FilePath(), help="True labels or values of the rows, .npy or CSV."),
            click.option("--reference", type=FilePath(), help="The estimator that the bundle was made from."),
            click.option(
                "--expect", type=FilePath(), help="Predictions that the bundle must give, .npy or CSV."
            ),
            click.option(
                "--header",
                type=click.Choice(HEADERS),
                help="Whether CSV files begin with names.  [default: auto]",
            ),
            click.option(
                "--trust-pickle", is_flag=True, help="Load a pickle whatever it names: it can run any code."
            ),
        ]
    ):
        command = option(command)
    return command


@attrs.frozen
class OwnOptions:
    """The values of these options."""

    models: tuple[Path, ...]
    rows: Path | None
    y: Path | None
    reference: Path | None
    expect: Path | None
    header: str | None
    trust_pickle: bool

    def keep(self, folder: Path, others: Mapping[str, Any]) -> dict[str, Any]:
        """Check models and rows, copy them into a folder; return the suite's options.

        Raises
        ------
        click.UsageError
            The text names the value and what to give.
        """
        from rknn_harness.models.own_model import keep_files, read_files

        if not self.models:
            self._refuse_alone()
            return {"trust_pickle": self.trust_pickle}
        files = self._files()
        self._refuse_together(files, others)
        try:
            for each in files:
                read_files(each, trust_pickle=self.trust_pickle)
                keep_files(each, folder)
        except OwnModelError as error:
            raise click.UsageError(str(error)) from None
        options: dict[str, Any] = {"own": str(folder), "trust_pickle": self.trust_pickle}
        options["only_own"] = others.get("max_cases") is None
        if files[0].is_bundle:
            options["toolkit"] = (str(read_bundle(files[0].model).details["toolkit"]["version"]),)
        return options

    def _refuse_alone(self) -> None:
        for name in ("rows", "y", "reference", "expect", "header"):
            value = getattr(self, name)
            if value is not None:
                raise click.UsageError(f"--{name} {value} is about a model of yours. Name it: --model FILE.")

    def _files(self) -> list[OwnFiles]:
        from rknn_harness.models.own_model import OwnFiles

        if self.rows is None:
            raise click.UsageError(
                f"--model {self.models[0]} needs rows to be judged on. Give rows of X: --rows X.npy or X.csv."
            )
        return [
            OwnFiles(path, self.rows, self.y, self.reference, self.expect, self.header or "auto")
            for path in self.models
        ]

    def _refuse_together(self, files: Sequence[OwnFiles], others: Mapping[str, Any]) -> None:
        from rknn_harness.models.datasets import DATASETS

        names = [each.name for each in files]
        for name in names:
            if names.count(name) > 1:
                raise click.UsageError(f"Two models are named {name}. Rename one file.")
            if name in DATASETS and others.get("max_cases") is not None:
                raise click.UsageError(f"{name} is also a fixed model of the suite. Rename your file.")
        bundle = next((each for each in files if each.is_bundle), None)
        if bundle is None:
            for name in ("reference", "expect"):
                if getattr(self, name) is not None:
                    raise click.UsageError(
                        f"--{name} {getattr(self, name)} is for a bundle (.rknn). {files[0].model} is "
                        f"compared with its own predictions: leave --{name} out."
                    )
        elif len(files) > 1:
            raise click.UsageError(f"--model {bundle.model} is a bundle. Give it alone.")
        elif self.reference is not None and self.expect is not None:
            raise click.UsageError("--reference gives predictions too. Leave --expect out, or --reference.")
        refused = {"resume": "A run that is resumed has its models"}
        if bundle is not None:
            reason = f"{bundle.model} is converted already"
            refused |= {"toolkit": reason, "precision": reason}
        for name, why in refused.items():
            if others.get(name):
                raise click.UsageError(f"{why}. Leave --{name} out, or --model.")


def check_kept(run: Path, *, trust_pickle: bool) -> None:
    """Raise `click.UsageError` where a model that a run keeps cannot be read any more."""
    from rknn_harness.models.own_model import kept_model

    for path in sorted(run.glob("own/*/own.json")):
        try:
            kept_model(path.parent, trust_pickle=trust_pickle)
        except OwnModelError as error:
            raise click.UsageError(str(error)) from None
