"""The ledger's jobs made what the manifest asks for. What stays as it is is not written: there may be a million."""

import sqlite3
from collections.abc import Iterable
from itertools import islice

from pipeline.jobs import Spec, canonical_json


def enrol(connection: sqlite3.Connection, specs: Iterable[Spec]) -> None:
    """Add what is new, mark as orphaned what is not asked for any more, and drop of that what was never sent."""
    execute = connection.execute
    execute("CREATE TEMP TABLE asked (name, request_hash, PRIMARY KEY (name, request_hash)) WITHOUT ROWID")
    rows = map(_row, specs)
    while some := list(islice(rows, _AT_ONCE)):
        connection.executemany("INSERT INTO asked VALUES (?, ?)", [row[:2] for row in some])
        connection.executemany(_ENROL, some)
    execute(f"DELETE FROM jobs WHERE attempt = 0 AND {_MISSING}")  # noqa: S608  # no input in it
    execute(f"UPDATE jobs SET orphaned = NOT orphaned WHERE orphaned <> ({_MISSING})")  # noqa: S608
    execute("DROP TABLE asked")


def _row(spec: Spec) -> tuple[str, ...]:
    asked = map(canonical_json, (spec.request, spec.tags, spec.metadata))
    return spec.name, spec.request_hash, spec.output, *asked


_AT_ONCE = 1000
_MISSING = "(name, request_hash) NOT IN (SELECT name, request_hash FROM asked)"
# What was never sent is as the manifest says now; what was sent keeps the request and the file name it has.
_ENROL = """INSERT INTO jobs (name, request_hash, output, request, tags, metadata, state, attempt, warnings, orphaned)
    VALUES (?, ?, ?, ?, ?, ?, 'planned', 0, '[]', 0)
    ON CONFLICT (name, request_hash) DO UPDATE SET tags = excluded.tags, metadata = excluded.metadata,
    request = CASE attempt WHEN 0 THEN excluded.request ELSE request END,
    output = CASE attempt WHEN 0 THEN excluded.output ELSE output END
    WHERE (tags, metadata) <> (excluded.tags, excluded.metadata)
    OR (attempt = 0 AND (request, output) <> (excluded.request, excluded.output))"""
