"""What can go wrong between the harness and a board.

::

    HarnessError
    ├── BoardsFileError          boards.toml cannot be used (also ValueError)
    ├── SameBoardError           two boards of a run are one (also ValueError)
    ├── FactsFileError           a file of a board's facts cannot be used (also ValueError)
    ├── RunFolderError           a run's folder cannot be written or read
    ├── SchedulerError           a scheduler of conversions cannot be used (also ValueError)
    ├── OwnModelError            a model given to a run, or its rows, cannot be used (also ValueError)
    ├── InfraError               the board cannot be reached: no model or toolkit is to blame
    │   ├── ConnectionLostError    no connection, or the end of one
    │   ├── HostKeyError           the board is not the one that was trusted, or none was yet
    │   ├── AuthenticationError    the board refuses our key, or the key cannot be read
    │   ├── ProvisioningError      files or the runner cannot be installed on the board
    │   ├── ProtocolError          the runner's answer is malformed
    │   ├── BoardDeadlineError     no answer in time
    │   ├── BoardBusyError         another has the board
    │   │   └── LeaseError           its lease says so
    │   ├── BoardRefusedError      its provider does not hand out the board
    │   ├── BoardHealthError       the board does not run a model that it ran before
    │   ├── PowerError             the board could not be power-cycled
    │   └── VirtualBoardError      the virtual board does not start
    └── BoardError               the board answered with an error: it counts against the model
"""

from __future__ import annotations

from typing import Any

from scirknn.text import printable


class HarnessError(Exception):
    """Base of every error that the harness raises on purpose; its text is `scirknn.text.printable`.

    Attributes
    ----------
    data : dict
        More than the text: ``stdout``, ``stderr``, ``status`` and the like, as JSON.
    """

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(printable(message))
        self.data = data


class RunFolderError(HarnessError):
    """A run's folder cannot be written or read."""


class BoardsFileError(HarnessError, ValueError):
    """The file of boards is missing, is no TOML, or has a wrong entry."""


class SameBoardError(HarnessError, ValueError):
    """Two boards that a run is to use are one and the same."""


class FactsFileError(HarnessError, ValueError):
    """The file of a board's facts is missing, is none, or is of another format."""


class SchedulerError(HarnessError, ValueError):
    """A scheduler, or its workers, cannot do a run's conversions; the text says what to change."""


class OwnModelError(HarnessError, ValueError):
    """A model that a run was given, or its rows, cannot be used; the text says what to give."""


class InfraError(HarnessError):
    """The board cannot be reached; trying again later may help, and no model is to blame."""


class ConnectionLostError(InfraError):
    """There is no connection: it was refused, cut, or died."""


class HostKeyError(InfraError):
    """The board's host key is unknown, or is not the one on record."""


class AuthenticationError(InfraError):
    """The board refused the key, or there is none to show."""


class ProvisioningError(InfraError):
    """Files could not be written to the board, or its Python does not run the runner."""


class ProtocolError(InfraError):
    """The runner's answer is no frame, or not the answer to what was asked."""


class BoardDeadlineError(InfraError):
    """No answer within the request's deadline and the grace beyond it."""


class BoardBusyError(InfraError):
    """Another has the board."""


class BoardRefusedError(InfraError):
    """The board's provider does not hand it out."""


class LeaseError(BoardBusyError):
    """Another session has the board, or a person reserved it; the text names who and until when.

    Attributes
    ----------
    holder : dict
        ``owner``, ``what``, ``since`` and ``until`` (seconds since 1970, the board's clock), ``reserved``
        (whether it is a person's reservation).
    """

    def __init__(self, message: str, holder: dict[str, Any], **data: Any) -> None:
        super().__init__(message, holder=holder, **data)
        self.holder = holder


class BoardHealthError(InfraError):
    """The board fails a model that is known to be good."""


class PowerError(InfraError):
    """The power command failed, or the board did not come back."""


class VirtualBoardError(InfraError):
    """The virtual board's process did not come up."""


class BoardError(HarnessError):
    """The board's answer to a request is an error.

    Attributes
    ----------
    kind : {"load_error", "run_error", "timeout", "bad_request"}
    type : str
        The exception's class on the board, or the signal that ended the process, such as ``SIGSEGV``.
    code : int or None
        The vendor's return code, the signal's number or the exit status, where there is one.
    """

    def __init__(self, kind: str, type: str, message: str, code: int | None = None, **data: Any) -> None:
        super().__init__(message, **data)
        self.kind = kind
        self.type = type
        self.code = code
