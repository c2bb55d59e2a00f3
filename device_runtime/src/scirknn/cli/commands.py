"""The command line: ``python3 -m scirknn info | predict | bench | doctor``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from functools import partial
from typing import Any, Callable, Iterable, Sequence

import numpy as np

import scirknn
from scirknn.answers import answer_width, ask, main_method, own_labels, responses_of
from scirknn.arrays import Array
from scirknn.bundle.files import bundle_files, read_bundle
from scirknn.cli.bench import BENCH, bench, duration, row_count
from scirknn.cli.info import INFO, info
from scirknn.cli.table_files import STREAM, count_rows, read_blocks, require_file_of_its_own, write_blocks
from scirknn.devices.open_model import CORES
from scirknn.devices.protocol import DEVICES
from scirknn.devices.runtimes import RUNTIMES
from scirknn.devices.session import choose_device
from scirknn.errors import InputError, InputRangeError, InputRangeWarning, ScirknnError
from scirknn.estimators.load import open_bundle
from scirknn.estimators.methods import Methods
from scirknn.termination import INTERRUPTED, interrupt_on_sigterm
from scirknn.text import cause_of, drop_output, printable

_DESCRIPTION = """\
Run scikit-learn models, converted by sklearn2rknn, on a Rockchip NPU.

  python3 -m scirknn doctor                         is this board ready? what to type if not
  python3 -m scirknn info iris.rknn                 what the model takes and answers
  python3 -m scirknn predict iris.rknn new.csv      a prediction for each row
  python3 -m scirknn bench iris.rknn                how fast it is here

A model is NAME.rknn, with NAME.rknn.json and NAME.npz beside it; name the first one.
"""

_PREDICT = """\
examples:
  python3 -m scirknn predict iris.rknn new.csv                    predictions on the screen
  python3 -m scirknn predict iris.rknn new.csv out.csv --proba    a column of probability for each class
  python3 -m scirknn predict iris.rknn X.npy y.npy --core pool    a large array, on all cores of the NPU
  sort -u log.csv | python3 -m scirknn predict iris.rknn - > out.csv

A CSV file may begin with a line of names. If the model was fitted with names, its columns are found by them,
in any order and among others; if not, the columns must be the model's, in its order. Files of any length are
read and written a piece at a time.
"""

_DOCTOR = """\
examples:
  python3 -m scirknn doctor                 the board alone
  sudo python3 -m scirknn doctor            the driver's version too, which only root may read
  python3 -m scirknn doctor iris.rknn       and whether the model is compatible; it is run once

Every finding that a command can mend is followed by that command. The exit status is 1 if there is an error.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0; 1 when a command failed or `doctor` found an error; 130 after Ctrl-C. Wrong usage exits with 2,
        SIGTERM with 143.
    """
    options = _parse(arguments)
    # Said once already, or not meant for those who wrote no program.
    warnings.filterwarnings("ignore", message="X (does not have valid|has) feature names")
    warnings.showwarning = _show_warning
    try:
        with interrupt_on_sigterm():
            status: int = options.run(options)
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read has enough
        drop_output()
        return 0
    except UnicodeEncodeError as error:
        drop_output()
        _complain(f"{error.object[error.start : error.end]!a:.60} is no text in {error.encoding}.")
        return 1
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED
    except (ScirknnError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            drop_output()
        _complain(cause_of(error))
        return 1
    return status


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; before Python 3.13 argparse leaves over an output that is behind an option."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if len(rest) == 1 and not rest[0].startswith("-") and getattr(options, "output", "") == STREAM:
        options.output = rest.pop()
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _complain(text: str) -> None:
    print(f"scirknn: {printable(text)}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m scirknn",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"scirknn {scirknn.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    _add_info(commands)
    _add_predict(commands)
    _add_bench(commands)
    _add_doctor(commands)
    return parser


def _add_command(
    commands: Any, run: Callable[[argparse.Namespace], int], text: str, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Add the command that `run` carries out and is named after."""
    added: argparse.ArgumentParser = commands.add_parser(
        run.__name__.lstrip("_"),
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(run=run)
    return added


def _add_device(command: argparse.ArgumentParser) -> None:
    text = (
        "the NPU, its emulator, the CPU, or for each call whichever of NPU and CPU is faster; default: "
        "SCIRKNN_DEVICE, else the NPU where there is one"
    )
    command.add_argument("--device", choices=DEVICES, help=text)


def _add_runtime(command: argparse.ArgumentParser) -> None:
    text = (
        "what runs the model on the NPU: librknnrt itself or the vendor's rknnlite; default: auto, the first "
        "that is right here"
    )
    command.add_argument("--runtime", choices=RUNTIMES, default="auto", help=text)


def _add_info(commands: Any) -> None:
    text = "show what a model takes and answers, how right it is, and where it is fast"
    command = _add_command(commands, info, text, INFO)
    command.add_argument("model", help="NAME.rknn")
    command.add_argument("--json", action="store_true", help="everything that the bundle records, as JSON")
    command.add_argument("--verbose", action="store_true", help="everything, as lines")


def _add_predict(commands: Any) -> None:
    predict = _add_command(commands, _predict, "predict each row of a CSV or .npy file", _PREDICT)
    predict.add_argument("model", help="NAME.rknn")
    predict.add_argument("input", help="rows: a .csv or .npy file, or - for CSV from standard input")
    output = "a .csv or .npy file; default: CSV on standard output"
    predict.add_argument("output", nargs="?", default=STREAM, help=output)
    what = predict.add_mutually_exclusive_group()
    what.add_argument("--proba", action="store_true", help="probabilities of the classes")
    what.add_argument("--raw", action="store_true", help="the network's output before its last activation")
    header = "whether the first line of CSV names the columns; default: if it is no row of numbers"
    predict.add_argument("--header", choices=("auto", "yes", "no"), default="auto", help=header)
    strict = "write nothing if rows leave the range that an int8 or int16 model was calibrated for"
    predict.add_argument("--strict", action="store_true", help=strict)
    _add_device(predict)
    core = "NPU cores; pool: all of them, each with rows of its own"
    predict.add_argument("--core", choices=CORES, default="auto", help=core)
    _add_runtime(predict)


def _add_bench(commands: Any) -> None:
    command = _add_command(commands, bench, "time a model on this machine, for one row and for many", BENCH)
    command.add_argument("model", help="NAME.rknn")
    command.add_argument("--input", help="rows to use, .csv or .npy; default: drawn at random")
    rows = "of the largest call (default: %(default)s)"
    command.add_argument("--rows", type=row_count, default=4096, help=rows)
    command.add_argument("--seconds", type=duration, default=1.0, help="for each line (default: %(default)s)")
    core = "may be given more than once; default: auto, pool"
    command.add_argument("--core", choices=CORES, action="append", help=core)
    text = "measure what the NPU and the CPU cost here, and keep it for device='auto'"
    command.add_argument("--calibrate", action="store_true", help=text)
    _add_device(command)
    _add_runtime(command)


def _add_doctor(commands: Any) -> None:
    text = "check this board, and say what to type where it lacks something"
    doctor = _add_command(commands, _doctor, text, _DOCTOR)
    doctor.add_argument("model", nargs="?", help="NAME.rknn, to be held against the board and run once")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    text = "the NPU or its emulator; default: SCIRKNN_DEVICE, else the NPU"
    doctor.add_argument("--device", choices=("npu", "virtual"), help=text)
    _add_runtime(doctor)


def _predict(options: argparse.Namespace) -> int:
    bundle = read_bundle(options.model)
    if options.proba and "predict_proba" not in responses_of(bundle):
        raise InputError(f"{bundle.estimator} has no probabilities; drop --proba.")
    require_file_of_its_own(options.output, (options.input, *bundle_files(bundle)))
    rows = count_rows(options.input)
    with open_bundle(bundle, device=options.device, core=options.core, runtime=options.runtime) as model:
        answer = _main_answer(model)
        if options.raw:
            answer = model.raw_output
        elif options.proba:
            answer = partial(ask, model, "predict_proba")
        blocks = read_blocks(options.input, bundle, header=options.header)
        parts: Iterable[Array] = (_plain(answer(block), model) for block in blocks)
        with warnings.catch_warnings():
            # Each block's warning would be the first block's only.
            warnings.simplefilter("error" if options.strict else "ignore", InputRangeWarning)
            try:
                if options.strict and options.output == STREAM:
                    parts = list(parts)  # a file is renamed when it is complete
                written = write_blocks(options.output, parts, _header(model, options), rows)
            except InputRangeWarning as error:
                raise InputRangeError(f"{error} Or predict without --strict. Nothing was written.") from None
        outside = model.input_range_text()
        if outside:
            _complain(f"warning: {outside}")
    if options.output != STREAM:
        print(printable(f"{written} rows in {options.output}"), file=sys.stderr)
    return 0


def _main_answer(model: Methods) -> Callable[[Array], Array]:
    """Return the main method; of a search, what gives distances and indices side by side."""
    if model.main_method == "kneighbors":
        return lambda rows: np.hstack(model.kneighbors(rows))
    return getattr(model, model.main_method)  # type: ignore[no-any-return]


def _plain(values: Array, model: Methods) -> Array:
    """Return labels that were Python objects in an array of their own kind and width."""
    if values.dtype.kind != "O":
        return values
    return values.astype(np.array(np.asarray(model.classes_).tolist()).dtype)


def _header(model: Methods, options: argparse.Namespace) -> list[str]:
    bundle = model.bundle
    if options.raw:
        return [f"output_{index}" for index in range(bundle.n_outputs)]
    if options.proba:
        labels = own_labels(bundle)
        own = _labels(bundle.classes) if labels is None else _of_targets(labels)
        return [f"p({label})" for label in own]
    if bundle.task == "multilabel":
        return _labels(bundle.classes)
    method = main_method(bundle)
    width = answer_width(bundle, bundle.n_outputs, method)
    if bundle.task == "regressor" and not bundle.single_output:
        return [f"prediction_{index}" for index in range(width)]
    if method == "transform":
        return [f"{bundle.estimator.lower()}{index}" for index in range(width)]
    if method == "kneighbors":
        return [f"{name}_{index}" for name in ("distance", "neighbour") for index in range(width)]
    return ["prediction" if method == "predict" else method]


def _labels(classes: Any) -> list[str]:
    """Return a model's classes as texts; where each target has labels, the targets' numbers."""
    return [str(label) for label in (range(len(classes)) if classes.ndim == 2 else classes.tolist())]


def _of_targets(labels: Array) -> list[str]:
    """Return each target's labels as texts, behind the target's number."""
    return [f"{target}={label}" for target, own in enumerate(labels.tolist()) for label in own]


def _doctor(options: argparse.Namespace) -> int:
    from scirknn.doctor import examine

    bundle = read_bundle(options.model) if options.model else None
    # Without a choice the NPU is meant: what is missing for it is the question.
    device = options.device or os.environ.get("SCIRKNN_DEVICE") or "npu"
    device = "npu" if device in ("cpu", "auto") else device
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the findings say it
        findings = list(examine(bundle, device=choose_device(device), runtime=options.runtime))
    if options.json:
        print(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        width = max(len(finding.rule) for finding in findings)
        if [finding.rule for finding in findings] == ["chip"]:  # a machine that can have no NPU
            print(printable(f"  chip      {findings[0].text}"))
            print(f"  next      to try models on this machine:  {findings[0].command}")
            return 1
        for finding in findings:
            print(printable(f"{finding.level:8} {finding.rule:{width}}  {finding.text}"))
            if finding.command:
                print(printable(f"{'':8} {'':{width}}  $ {finding.command}"))
    return int(any(finding.level == "error" for finding in findings))


def _show_warning(message: Warning | str, *rest: Any, **options: Any) -> None:
    _complain(f"warning: {message}")
