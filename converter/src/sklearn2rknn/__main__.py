"""``python -m sklearn2rknn``: convert a saved model."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from scirknn.cli.table_files import HEADERS
from sklearn2rknn.checking.built_file_check import CHECKS
from sklearn2rknn.conversion import convert
from sklearn2rknn.errors import OptionError, Sklearn2RknnError
from sklearn2rknn.estimators.model_file import load_model
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.file_path import FilePath
from sklearn2rknn.network.layer import ACTIVATION_FORMS
from sklearn2rknn.network.network import FORMS
from sklearn2rknn.options import ALGORITHMS, HEADS, METHODS, SAMPLES
from sklearn2rknn.passes.prepare_network import ACCURACIES
from sklearn2rknn.progress import progress
from sklearn2rknn.rows.calibration_rows import ROWS
from sklearn2rknn.rows.example_input import read_rows
from sklearn2rknn.toolkit.pins.versions import default_version, toolkit_versions

__all__ = ["main"]

EXAMPLES = """
\b
Examples:
  python -m sklearn2rknn iris.skops iris.rknn --target_platform rk3588
  python -m sklearn2rknn iris.pkl iris.rknn --quantization --example_input X.npy
  python -m sklearn2rknn iris.pkl iris.rknn --batch_size 1 1024
  python -m sklearn2rknn iris.pkl iris.rknn --target_platform rk3576 --toolkit 2.5.0@container --json

\b
What the first scirknn made, to compare on a board:
  python -m sklearn2rknn iris.pkl iris.rknn --form matmul --head npu --activation plain --batch_size 1

\b
X.npy holds rows of X, written with numpy.save; a CSV file is read as "scirknn predict" reads it.
Exit code: 0 converted, 1 the conversion failed, 2 wrong usage.
"""


class _Command(click.Command):
    """A command whose --batch_size takes all the numbers that follow it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        collecting = False
        for argument in args:
            if collecting and argument.isdecimal() and spread[-1].isdecimal():
                spread.append("--batch_size")
            elif argument.replace("-", "_") == "__batch_size":
                collecting = True
            elif not argument.isdecimal():
                collecting = False
            spread.append(argument)
        return super().parse_args(ctx, spread)


@click.command(
    cls=_Command,
    epilog=EXAMPLES,
    context_settings={
        # --target-platform is --target_platform.
        "token_normalize_func": lambda token: token.replace("-", "_"),
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.argument("model", type=FilePath())
@click.argument("out", type=FilePath())
@click.option(
    "--target_platform",
    default="rk3588",
    show_default=True,
    help="The chip: rk3588, rk3576, rk3568, rk3566, rk3562, ...; which of them depends on the toolkit.",
)
@click.option("--quantization", is_flag=True, help="The same as --precision int8.")
@click.option(
    "--example_input",
    type=FilePath(),
    metavar="FILE",
    help="Rows of X as the model will meet it, .npy or CSV.",
)
@click.option(
    "--header",
    type=click.Choice(HEADERS),
    default="auto",
    show_default=True,
    help="Whether a CSV file's first line names its columns.",
)
@click.option(
    "--check_input",
    type=FilePath(),
    metavar="FILE",
    help="Other rows of X, to check the file on; by default some of --example_input are held out.",
)
@click.option("--precision", help="float16 (the default), int8 or int16.")
@click.option(
    "--batch_size",
    type=int,
    multiple=True,
    default=(SAMPLES,),
    show_default=True,
    metavar="N [N ...]",
    help="Rows per run; several numbers make several files.",
)
@click.option(
    "--toolkit",
    default=default_version(),
    show_default=True,
    help=f"One of {', '.join(toolkit_versions())}; @container or @venv behind it insists on where it runs.",
)
@click.option("--quantized_algorithm", default="normal", show_default=True, help=", ".join(ALGORITHMS) + ".")
@click.option("--quantized_method", default="channel", show_default=True, help=", ".join(METHODS) + ".")
@click.option(
    "--calibration_rows", default=ROWS, show_default=True, help="Rows that integers take their ranges from."
)
@click.option("--calibration_seed", default=0, show_default=True, help="With which they are drawn.")
@click.option(
    "--accuracy",
    default="auto",
    show_default=True,
    help=", ".join(ACCURACIES) + ": float16 numbers for each value between layers of relu or identity.",
)
@click.option(
    "--activation",
    default="refined",
    show_default=True,
    help=", ".join(ACTIVATION_FORMS) + ": the form of tanh and logistic in float16.",
)
@click.option(
    "--form",
    default="conv",
    show_default=True,
    help=", ".join(FORMS) + ": the graph's operators; all but conv are for comparison.",
)
@click.option(
    "--head", default="host", show_default=True, help=", ".join(HEADS) + ": where softmax is evaluated."
)
@click.option("--check", default="on", show_default=True, help=", ".join(CHECKS) + ": run the built file.")
@click.option("--min_labels", type=float, help="Least share of equal labels (0.999; 0.99 for int8).")
@click.option("--min_r2", type=float, help="Least R2 of a regressor (0.9997; 0.985 for int8).")
@click.option("--allow_cpu", is_flag=True, help="Accept layers that the toolkit places on the CPU.")
@click.option("--timeout", type=float, default=300.0, show_default=True, help="Seconds for each file.")
@click.option("--trust_pickle", is_flag=True, help="Load a pickle whatever it names: it can run any code.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--verbose", is_flag=True, help="Print all that is known: ranges, error bound, every stage.")
@click.version_option(package_name="sklearn2rknn")
def main(
    model: Path,
    out: Path,
    example_input: Path | None,
    check_input: Path | None,
    header: str,
    trust_pickle: bool,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Convert the fitted estimator in MODEL (.skops, .pkl, .joblib) to the bundle OUT (NAME.rknn)."""
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with progress(f"Converting {model}"):
                    estimator = load_model(model, trust_pickle=trust_pickle)
                    example, check = (
                        None
                        if path is None
                        else read_rows(path, network_from_estimator(estimator), header=header)
                        for path in (example_input, check_input)
                    )
                    report = convert(estimator, out, example_input=example, check_input=check, **options)
            finally:
                # scikit-learn warns once for each object in the file: once is enough.
                for text in dict.fromkeys(str(each.message) for each in caught if _for_people(each.category)):
                    errors.print(f"warning: {text}")
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    except (Sklearn2RknnError, OSError) as error:
        errors.print(f"error: {error}")
        sys.exit(1)
    if as_json:
        click.echo(report.to_json())
    elif verbose:
        click.echo(report.details())
    else:
        Console(highlight=False, soft_wrap=True).print(report)


def _for_people(category: type[Warning]) -> bool:
    return issubclass(category, UserWarning) and not issubclass(category, DeprecationWarning)


if __name__ == "__main__":
    main(prog_name="python -m sklearn2rknn")
