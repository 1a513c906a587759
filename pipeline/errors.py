"""What can go wrong, for the caller to act on. Pure.

A job's failure is a value in the ledger, never an exception. An exception ends the command::

    CallsheetError                    exit code
      UsageError                      2    an option, a file or an address that cannot be used
      ManifestError(problems)         2    the manifest has mistakes; nothing was spent
      CredentialError                 4    the key is missing or unusable
      StorageError                    5    the ledger or the disk cannot be trusted
        LedgerError                   5
      Unreachable                     69   the server gives no usable answer: ask again later
      LedgerLocked                    75   another run holds the ledger
    IllegalTransition                 a bug: an event that its state does not know
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

_TOLD = 10
"""So many problems are in an exception's own text, for who meets it in a traceback."""


class Edit(NamedTuple):
    """What stands at a problem's place, letter by letter, and what may stand there instead without a doubt."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, at the place where a person can mend it. Lines and columns count from 1, in code points.

    ``fix`` is for people. ``edit`` is a fix that a program may carry out.
    """

    rule: str
    message: str
    file: str
    line: int
    column: int
    fix: str | None = None
    severity: Literal["error", "warning"] = "error"
    edit: Edit | None = None


class CallsheetError(Exception):
    """Ends the command with a sentence for people and an exit code for programs."""

    exit_code: ClassVar[int] = 1


class UsageError(CallsheetError):
    """Something on the command line, or around it, cannot be used as asked. Nothing was spent."""

    exit_code = 2


class ManifestError(CallsheetError):
    """The manifest has mistakes. Carries all of them. Nothing was spent."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        lines = [f"{one.file}:{one.line}:{one.column}: {one.rule}: {one.message}" for one in problems[:_TOLD]]
        more = ["..."] * (len(problems) > _TOLD)
        super().__init__("\n".join([f"{len(problems)} problem{'s'[: len(problems) != 1]}", *lines, *more]))
        self.problems = tuple(problems)


class CredentialError(CallsheetError):
    """The key is missing, malformed or ambiguous. Never holds the key itself."""

    exit_code = 4


class StorageError(CallsheetError):
    """The disk refused, or what lies on it is not what was written."""

    exit_code = 5


class LedgerError(StorageError):
    """The ledger cannot be read or written. A commit that raised this may have happened: read again, never retry."""


class Unreachable(CallsheetError):
    """The server gives no usable answer to a question that costs nothing: ask again later."""

    exit_code = 69


class LedgerLocked(CallsheetError):
    """Another run holds the ledger."""

    exit_code = 75


class IllegalTransition(Exception):
    """An event reached a job whose state does not allow it. A bug, never caught."""
