"""Values into columns and back. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from pipeline.errors import LedgerError
from pipeline.events import KINDS, Event
from pipeline.jobs import Failure, FailureKind, Job, State, canonical_json, made

COLUMNS = tuple(f.name for f in fields(Job))
"""A job's columns are its fields, in their order."""

_UNFETCHED = 1000
_JSON = frozenset({"request", "tags", "metadata", "warnings"})
_FLAGS = frozenset({"orphaned", "picked"})
_FACTS = {event: tuple(f.name for f in fields(event) if f.name != "raw") for event in KINDS.values()}


def _failure_text(failure: Failure | None) -> str | None:
    return None if failure is None else canonical_json(_slim(asdict(failure)))


#: How a field is stored that SQLite cannot take as it is.
_SPELLINGS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_JSON, canonical_json),
    **dict.fromkeys(_FLAGS, int),
    "failure": _failure_text,
}


def to_columns(of: Job | Event, names: Iterable[str]) -> list[Any]:
    """Return the values of these fields as SQLite stores them."""
    return [_SPELLINGS[name](getattr(of, name)) if name in _SPELLINGS else getattr(of, name) for name in names]


def job_from(row: tuple[Any, ...]) -> Job:
    """Return the job of a row that was selected by COLUMNS. Raises LedgerError for one that was damaged."""
    values = list(row)
    try:
        for column, read in _READ:
            values[column] = read(values[column])
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"the ledger is damaged: {error}") from error
    return made(values)


def failure_from(text: str | None) -> Failure | None:
    if text is None:
        return None
    values = json.loads(text)
    return Failure(**{**values, "kind": FailureKind(values["kind"])})


def _texts(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))


#: How a field is read that is not stored as it is. There may be a million: what is mostly empty is not parsed.
_READERS: Mapping[str, Callable[[Any], Any]] = {
    "request": json.JSONDecoder().decode,
    "tags": _texts,
    "metadata": lambda text: {} if text == "{}" else json.loads(text),
    "state": {state.value: state for state in State}.__getitem__,
    "failure": failure_from,
    "warnings": _texts,
    "orphaned": bool,
    "picked": bool,
}
_READ = tuple((COLUMNS.index(name), read) for name, read in _READERS.items())


def unfetched_setting(failures: Mapping[tuple[str, str], Failure]) -> list[dict[str, str]]:
    """Return, as the settings keep it, why finished videos were left to a later run: by job and request's hash."""
    return [
        {"job": name, "request_hash": request_hash, "failure": canonical_json(_slim(asdict(failure)))}
        for (name, request_hash), failure in list(failures.items())[:_UNFETCHED]
    ]


def unfetched_from(setting: list[dict[str, str]]) -> dict[tuple[str, str], Failure | None]:
    return {(left["job"], left["request_hash"]): failure_from(left["failure"]) for left in setting}


def event_data(event: Event) -> str:
    """Return the event's fields as JSON, without its raw answer, which has a column of its own."""
    values = {name: value for name in _FACTS[type(event)] if (value := getattr(event, name)) is not None}
    if "failure" in values:
        values["failure"] = _slim(asdict(values["failure"]))
    return canonical_json(values)


def _slim(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
