"""``sklearn2rknn``: convert a saved model.

What needs scikit-learn is imported where it is used: ``--help`` and usage errors answer at once.
"""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from scirknn.cli.table_files import HEADERS
from scirknn.termination import interrupt_on_sigterm
from scirknn.text import cause_of, printable
from sklearn2rknn.errors import OptionError, Sklearn2RknnError
from sklearn2rknn.file_path import FilePath, OutputErrors
from sklearn2rknn.network.precision import Precision
from sklearn2rknn.options import BATCH_SIZE, ConversionOptions
from sklearn2rknn.toolkit.pins.versions import default_version, toolkit_versions

if TYPE_CHECKING:
    from sklearn2rknn.candidates.comparison import PrecisionComparison
    from sklearn2rknn.report import ConversionReport

EXAMPLES = """
\b
Examples:
  sklearn2rknn iris.skops iris.rknn
  sklearn2rknn iris.pkl iris.rknn --example-input X.npy --precision int8
  sklearn2rknn iris.pkl iris.rknn --batch-size 1 1024
  sklearn2rknn iris.pkl iris.rknn --target-platform rk3576 --toolkit 2.5.0@container --json

\b
The graph that the first scirknn made, to compare on a board:
  sklearn2rknn iris.pkl iris.rknn --form matmul --head npu --activation plain --batch-size 1

X.npy holds rows of X, written with numpy.save; a CSV file is read as "scirknn predict" reads it. With rows
the report says how many labels are right; 64 are enough, some hundred are better.

The first word may be "convert", or "supported", which lists what can be converted, or "precisions", which
compares float16, float16 pairs, int16 and int8; a model file of such a name is given as ./convert.

Exit code: 0 converted, 1 the conversion failed, 2 wrong usage, 143 ended by SIGTERM.
"""

PRECISIONS = """
\b
Examples:
  sklearn2rknn precisions iris.pkl --rows X.npy
  sklearn2rknn precisions iris.pkl --rows X.csv --batch-size 1024
"""

HEADER = "Whether a CSV file's first line names its columns."
TRUST = "Load a pickle whatever it names: it can run any code."

Result = TypeVar("Result")


class _Command(OutputErrors):
    """A command whose name may come first and whose --batch-size takes many numbers."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command that the first word names, or convert."""
        words = list(sys.argv[1:] if args is None else args)
        named = {"supported": supported, "precisions": precisions}.get(words[0] if words else "")
        if named is not None:
            extra["prog_name"] = f"sklearn2rknn {words[0]}"
            return named.main(words[1:], *rest, **extra)
        return super().main(args, *rest, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = args[1:] if args[:1] == ["convert"] else args
        spread: list[str] = []
        is_batch_size = False
        for word in words:
            if is_batch_size and word.isdecimal() and spread[-1].isdecimal():
                spread.append("--batch-size")
            elif word.startswith("-"):
                is_batch_size = _dashed(word) == "--batch-size"
            elif not word.isdecimal():
                is_batch_size = False
            spread.append(word)
        return super().parse_args(ctx, spread)


def _dashed(token: str) -> str:
    """Return an option's name with dashes: --target_platform is --target-platform."""
    return token.replace("_", "-")


def _conversion_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each field of `ConversionOptions`, with its default."""
    for field in reversed(fields(ConversionOptions)):
        if not field.metadata:
            continue
        default: Any = field.default
        choices = ", ".join(field.metadata["choices"])
        text = field.metadata["help"]
        command = click.option(
            f"--{_dashed(field.name)}",
            is_flag=default is False,
            default=default,
            type=float if default is None else None,
            show_default=default is not False,
            help=f"{choices}: {text[0].lower() + text[1:]}" if choices else text,
        )(command)
    return command


@click.command(
    cls=_Command,
    epilog=EXAMPLES,
    options_metavar="[convert] [OPTIONS]",
    context_settings={
        "token_normalize_func": _dashed,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.argument("model", type=FilePath())
@click.argument("out", type=FilePath(), metavar="OUT.rknn")
@click.option(
    "--target-platform",
    default="rk3588",
    show_default=True,
    help="The chip: rk3588, rk3576, rk3568, rk3566, rk3562, ...; which of them depends on the toolkit.",
)
@click.option(
    "--precision",
    help=f"{', '.join(Precision)} or best; by default float16. All others need --example-input.",
)
@click.option("--quantization", is_flag=True, help="The same as --precision int8.")
@click.option(
    "--example-input",
    type=FilePath(),
    metavar="FILE",
    help="Rows of X as the model will meet it, .npy or CSV.",
)
@click.option(
    "--check-input",
    type=FilePath(),
    metavar="FILE",
    help="Other rows of X, to check the file on; by default some of --example-input are held out.",
)
@click.option(
    "--header",
    type=click.Choice(HEADERS),
    default="auto",
    show_default=True,
    help=HEADER,
)
@click.option(
    "--batch-size",
    type=int,
    multiple=True,
    default=(BATCH_SIZE,),
    show_default=True,
    metavar="N [N ...]",
    help="Rows that a run takes; several numbers make several files.",
)
@click.option(
    "--toolkit",
    default=default_version(),
    show_default=True,
    help=f"One of {', '.join(toolkit_versions())}; @container or @venv after it insists on where it runs.",
)
@_conversion_options
@click.option("--trust-pickle", is_flag=True, help=TRUST)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--verbose", is_flag=True, help="Print everything: ranges, error bound, every stage.")
@click.version_option(package_name="sklearn2rknn", prog_name="sklearn2rknn")
def main(*, as_json: bool, verbose: bool, **arguments: Any) -> None:
    """Convert the fitted estimator in MODEL (.skops, .pkl, .joblib) to a bundle.

    OUT.rknn.json and OUT.npz come beside OUT.rknn. Copy all to the board, where "scirknn predict OUT.rknn
    X.csv" uses them.
    """
    from rich.console import Console

    report = _run(lambda: _convert(**arguments))
    if as_json:
        click.echo(report.to_json())
    elif verbose:
        click.echo(report.details())
    else:
        Console(highlight=False, soft_wrap=True).print(report)


@click.command(
    cls=OutputErrors,
    epilog=PRECISIONS,
    context_settings={"token_normalize_func": _dashed, "help_option_names": ["-h", "--help"]},
)
@click.argument("model", type=FilePath())
@click.option(
    "--rows", type=FilePath(), metavar="FILE", required=True, help="Rows of X, 64 or more, .npy or CSV."
)
@click.option("--header", type=click.Choice(HEADERS), default="auto", show_default=True, help=HEADER)
@click.option("--target-platform", default="rk3588", show_default=True, help="The chip.")
@click.option("--batch-size", type=int, default=BATCH_SIZE, show_default=True, help="Rows that a run takes.")
@click.option("--toolkit", default=default_version(), show_default=True, help="Its version.")
@click.option("--trust-pickle", is_flag=True, help=TRUST)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def precisions(
    *, model: Path, rows: Path, header: str, trust_pickle: bool, as_json: bool, **arguments: Any
) -> None:
    """Compare what MODEL comes to in float16, float16 pairs, int16 and int8.

    Each is converted: size, labels or R2 on held-out rows, the largest error and its bound, and the estimated
    time of a call. Nothing is written.
    """
    import attrs
    from rich.console import Console

    def compare() -> PrecisionComparison:
        from sklearn2rknn.conversion import compare_precisions
        from sklearn2rknn.estimators.model_file import load_model
        from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
        from sklearn2rknn.progress import progress
        from sklearn2rknn.rows.example_input import read_rows

        with progress(f"Comparing precisions of {model}"):
            estimator = load_model(model, trust_pickle=trust_pickle)
            table = read_rows(rows, network_from_estimator(estimator), header=header)
            return compare_precisions(estimator, rows=table, **arguments)

    comparison = _run(compare)
    if as_json:
        click.echo(comparison.to_json())
    else:
        command = ["sklearn2rknn", str(model), f"{model.stem}.rknn", "--example-input", str(rows)]
        comparison = attrs.evolve(comparison, command=shlex.join([*command, *_given_options()]))
        Console(highlight=False, soft_wrap=True).print(comparison)


def _given_options() -> Iterator[str]:
    """Yield what was typed of the options that a conversion has too."""
    context = click.get_current_context()
    for name in ("header", "target_platform", "batch_size", "toolkit", "trust_pickle"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            yield f"--{name.replace('_', '-')}"
            if name != "trust_pickle":
                yield str(context.params[name])


def _run(work: Callable[[], Result]) -> Result:
    """Do what may start a toolkit, and print its warnings, or its error and exit."""
    context = click.get_current_context()
    context.with_resource(interrupt_on_sigterm())
    from rich.console import Console

    from sklearn2rknn.toolkit.toolkit import close_shared_toolkits

    context.call_on_close(close_shared_toolkits)  # while SIGTERM still waits for it
    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                return work()
            finally:
                # scikit-learn warns once for each object in the file: once is enough.
                for text in dict.fromkeys(
                    str(each.message) for each in caught if issubclass(each.category, UserWarning)
                ):
                    errors.print(printable(f"Warning: {text}"))
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    except (Sklearn2RknnError, OSError) as error:
        errors.print(printable(f"Error: {cause_of(error)}"))
        sys.exit(1)


@click.command(
    cls=OutputErrors,
    epilog="Example: sklearn2rknn supported --json",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def supported(*, as_json: bool) -> None:
    """List every estimator of the scikit-learn that is installed, and what becomes of it."""
    import json

    import sklearn
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    from sklearn2rknn.estimators.support import sections, support_table

    lines = support_table()
    if as_json:
        click.echo(json.dumps([line.to_json() for line in lines], indent=1))
        return
    console = Console(highlight=False)
    console.print(
        f"What the estimators of scikit-learn {sklearn.__version__} become. A loaded model has those of the "
        "methods that its fitted estimator has. From where on the NPU is worth it is estimated; a conversion "
        "reports it for its model.\n"
    )
    for heading, note, members in sections(lines):
        console.print(f"[bold]{heading}[/]")
        if note:
            console.print(Padding(f"[dim]{note}[/]", (0, 0, 0, 2)))
        with_methods = Table(box=None, show_header=False, padding=(0, 1))
        for line in members:
            with_methods.add_row(f" {line.estimator}", ", ".join(line.methods))
        names = Padding(", ".join(line.estimator for line in members), (0, 0, 0, 2))
        console.print(with_methods if note else names)


def _convert(
    *,
    model: Path,
    example_input: Path | None,
    check_input: Path | None,
    header: str,
    trust_pickle: bool,
    **arguments: Any,
) -> ConversionReport:
    from sklearn2rknn.conversion import convert
    from sklearn2rknn.estimators.model_file import load_model
    from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
    from sklearn2rknn.progress import progress
    from sklearn2rknn.rows.example_input import read_rows

    with progress(f"Converting {model}"):
        estimator = load_model(model, trust_pickle=trust_pickle)
        example, check = (
            None if path is None else read_rows(path, network_from_estimator(estimator), header=header)
            for path in (example_input, check_input)
        )
        names = {field.name for field in fields(ConversionOptions)} & arguments.keys()
        options = ConversionOptions(check_input=check, **{name: arguments.pop(name) for name in names})
        return convert(estimator, arguments.pop("out"), example_input=example, options=options, **arguments)


if __name__ == "__main__":
    main(prog_name="sklearn2rknn")
