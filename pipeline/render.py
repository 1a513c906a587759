"""What people see: problems, plans, states, and a run while it goes. The only module that writes to a terminal.

Every foreign string (a prompt, an id, a server's sentence) goes through ``safe``: it cannot move the cursor, colour
the terminal, or turn the reading direction. Nothing here is ever read as markup.
"""

from __future__ import annotations  # what only lends its type is not loaded

import json
import time
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline import neutral
from pipeline.actions import ACTIONS
from pipeline.jobs import FOR_A_PERSON, FailureKind, Job, State
from pipeline.sayings import masked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.authoring import Blame, Checked
    from pipeline.commands import Ended
    from pipeline.document import Place
    from pipeline.document import Text as Written
    from pipeline.errors import Problem
    from pipeline.explaining import Explained
    from pipeline.rules import Rule
    from pipeline.summary import Status

_ESCAPED = {**neutral.WRITTEN_OUT, ord("\n"): "⏎", ord("\r"): "", ord("\t"): " "}

_COLOURS = {State.DONE: "green", State.FAILED: "red", State.EXPIRED: "red"} | dict.fromkeys(FOR_A_PERSON, "yellow")
_SEVERITIES = {"error": "red", "warning": "yellow"}
_SHOWN_AT_MOST = 20


def safe(text: object, length: int = 300) -> str:
    """Return the text on one line, with everything that a terminal would obey written out, cut to ``length``."""
    shown = str(text).translate(_ESCAPED)
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise, where rich would exit: a reader that leaves must not end a run between a POST and its record."""
        raise BrokenPipeError


def terminal(*, stderr: bool) -> Console:
    """Return a console on a standard stream, on which text is text."""
    return _Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=True)


def problems(console: Console, found: Sequence[Problem]) -> None:
    """Print each problem with its place, the line it is on, and the fix."""
    texts: dict[str, Written | None] = {}
    for problem in found:
        place = f"{safe(problem.file)}:{problem.line}:{problem.column}: "
        head = Text.assemble(
            (place, "bold"),
            (f"{problem.severity}[{problem.rule}]", _SEVERITIES[problem.severity]),
            ": ",
            safe(problem.message),
        )
        console.print(head)
        _print_excerpt(console, problem, texts)
        if problem.fix:
            console.print(Text.assemble(("    fix: ", "green"), safe(problem.fix)))
    errors = sum(problem.severity == "error" for problem in found)
    console.print(f"{count(errors, 'error')}, {count(len(found) - errors, 'warning')}")


def warnings(console: Console, found: Sequence[Problem]) -> None:
    if found:
        problems(console, found)


def begun(console: Console, manifest: Path, schema: Path) -> None:
    """Print what was written, and what to do with it."""
    console.print(f"{safe(manifest)}: a first manifest; {safe(schema)}: what editors complete it by")
    console.print(f"Next: callsheet run {safe(manifest)}")


def checked(console: Console, found: Checked) -> None:
    """Print what is wrong with manifests, and which of them can be run."""
    if found.problems:
        problems(console, found.problems)
    for manifest, jobs in found.jobs.items():
        console.print(f"{safe(manifest)}: {count(jobs, 'job')}, no errors")


def rules(console: Console, found: Iterable[Rule]) -> None:
    """Print the codes of all rules with what each of them says."""
    listed = list(found)
    width = max(len(one.code) for one in listed)
    for one in listed:
        severity = (f"{one.severity:9}", _SEVERITIES[one.severity])
        console.print(Text.assemble((f"{one.code:{width}}", "bold"), "  ", severity, one.summary))


def rule(console: Console, found: Rule) -> None:
    """Print what a rule means, with its examples."""
    console.print(Text.assemble((found.severity, _SEVERITIES[found.severity]), (f"[{found.code}]", "bold")))
    for paragraph in (found.summary, *found.advice):
        console.print()
        console.print(Text(paragraph), soft_wrap=False)
    for example in found.examples:
        wrong = example.verdict == "wrong"
        console.print(Text("\nWrong:" if wrong else "\nRight:", "bold red" if wrong else "bold green"))
        for name, text in (("", example.manifest), *example.files):
            if name:
                console.print(Text(f"  {name}:", "dim"))
            for line in text.splitlines():
                console.print(Text(f"    {line}".rstrip()))


def differences(console: Console, found: Iterable[str]) -> None:
    """Print what was changed in files."""
    for difference in found:
        for line in difference.splitlines():
            console.print(Text(safe(line, 2000), _DIFFERENCES.get(line[:1], "")))


_DIFFERENCES = {"+": "green", "-": "red", "@": "cyan"}


def explained(console: Console, found: Explained) -> None:
    """Print what a job would send, and where each value is written."""
    console.print(Text.assemble((safe(found.spec.name), "bold"), f"  {safe(found.spec.origin)}"))
    names = [".".join(map(str, origin.path)) for origin in found.origins]
    width = max(map(len, names), default=0)
    for name, origin in zip(names, found.origins, strict=True):
        value = origin.value if isinstance(origin.value, str) else json.dumps(origin.value, ensure_ascii=False)
        console.print(Text.assemble(f"  {safe(name):{width}}  ", safe(value, 2000)))
        sources = "; ".join(str(source) for source in origin.sources)
        console.print(Text(f"  {'':{width}}  {safe(sources, 2000)}", "dim"))
    console.print(f"  {'file':{width}}  videos/{safe(found.spec.output)}")
    console.print(f"  {'request':{width}}  sha256 {found.spec.request_hash}")


def failure(console: Console, message: str) -> None:
    console.print(Text.assemble(("callsheet: ", "bold red"), safe(message, 2000)))


def status(console: Console, found: Status) -> None:
    """Print where a campaign stands."""
    console.print(Text(safe(found.name), "bold"))
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for state, number in found.counts.items():
        if number:
            table.add_row(str(number), Text(state.value.replace("_", " "), _COLOURS.get(state, "")))
    console.print(table)
    console.print(spent(found))
    _print_troubles(console, _with_errors_before(found))
    if found.sums.picked:
        console.print(f"{count(found.sums.picked, 'video')} picked.")
    if found.sums.left_over:
        size = f"{found.sums.left_over_bytes:,} bytes"
        words = f"{count(found.sums.left_over, 'video')} that the manifest no longer asks for, {size}"
        console.print(f"{words}: `callsheet clean` shows them.")
    console.print(f"Campaign {safe(found.path)}")


def ended(console: Console, end: Ended, manifest: Path, blamed: Mapping[str, Blame]) -> None:
    """Print how a run ended, what is left, and what to do about it.

    ``blamed`` has the fields that the server refused, and where they are written, by job.
    """
    found, counts, orphaned = end.status, end.status.counts, end.status.sums.orphaned
    asked, done = sum(counts.values()) - sum(orphaned.values()), counts[State.DONE] - orphaned.get(State.DONE, 0)
    console.print(Text(f"{done} of {count(asked, 'video')} done. {spent(found)}", "bold"))
    _print_troubles(console, found.among(tuple(State), telling=True), blamed)
    if end.stop is not None:
        words = f": {end.failure.message}" if end.failure else ""
        console.print(Text(f"Stopped: {end.stop.value}{safe(words)}", "bold red"))
    if end.signal is not None:
        console.print("Stopped by a signal; everything is recorded.")
    rendering = counts[State.SUBMITTED] + counts[State.COMPLETED] + counts[State.VERIFIED]
    if rendering:
        console.print(f"{count(rendering, 'video')} at the server, already paid.{_first_expiry(found)}")
        console.print(f"Run it again to fetch them; without spending: callsheet run {safe(manifest)} --no-submit")
    if any(counts[state] for state in FOR_A_PERSON):
        console.print(Text(f"Some jobs wait for a person: see `callsheet resolve {safe(manifest)}`.", "yellow"))
    console.print(f"Videos   {safe(found.path)}/videos")
    console.print(f"Ledger   {safe(found.path)}/ledger.db")


def _first_expiry(found: Status) -> str:
    times = (job.expires_at for job in found.among({State.COMPLETED}) if job.expires_at is not None)
    first = min(times, default=None)
    told = first and time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(first))
    return f" The first one expires at {told}." if told else ""


def _print_excerpt(console: Console, problem: Problem | Place, texts: dict[str, Written | None]) -> None:
    """Print the line that the problem is on, with a caret under its place; nothing where the file cannot be read."""
    if problem.file not in texts:
        texts[problem.file] = _text(problem.file)
    text = texts[problem.file]
    if text is None or not 0 < problem.line <= len(text.starts):
        return
    line = text.line(text.starts[problem.line - 1])
    first = max(0, problem.column - 80)
    before = safe(line[first : problem.column - 1])
    console.print(Text(f"    {before}{safe(masked(line[problem.column - 1 : first + 120]))}", "dim"))
    console.print(Text(f"    {' ' * Text(before).cell_len}^", "red"))


def _text(file: str) -> Written | None:
    """Return the text of a file; None for what has no lines, is no regular file, or is larger than a manifest."""
    from pipeline import document, folder, parquet, source  # noqa: PLC0415  # who only reads a ledger has no manifest

    if Path(file).suffix.lower() == parquet.SUFFIX:
        return None
    try:
        data = folder.content(Path(file), source.MAX_BYTES)
    except (OSError, ValueError):
        return None
    return document.Text.of(file, data.decode("utf-8-sig", errors="replace"))


def _with_errors_before(found: Status) -> Iterator[Job]:
    """Yield the jobs; those that are being tried once more with why the attempt before failed, until it has its end."""
    for job in found.among(tuple(State), telling=True):
        before = found.before.get((job.name, job.request_hash))
        if before is not None and job.failure in {None, before}:
            yield replace(job, failure=replace(before, message=f"tried once more; before: {before.message}"))
        else:
            yield job


def _print_troubles(console: Console, jobs: Iterable[Job], blamed: Mapping[str, Blame] = MappingProxyType({})) -> None:
    texts: dict[str, Written | None] = {}
    kinds: dict[FailureKind, None] = {}
    troubled = 0
    for job in jobs:
        if job.orphaned or not (job.failure or job.warnings):
            continue
        troubled += 1
        if job.failure and job.state is not State.DONE:
            kinds[job.failure.kind] = None
        if troubled <= _SHOWN_AT_MOST:
            _print_trouble(console, job)
            if job.name in blamed and job.state is not State.DONE:
                _print_blame(console, blamed[job.name], texts)
    for kind in kinds:
        console.print(Text(f"  {kind}: {ACTIONS[kind].advice}", "dim"))
    if troubled > _SHOWN_AT_MOST:
        console.print(f"  … and {troubled - _SHOWN_AT_MOST} more; `callsheet status --json` has them all")


def _print_trouble(console: Console, job: Job) -> None:
    words = job.failure.message if job.failure else "; ".join(job.warnings)
    state = (job.state.value.replace("_", " "), _COLOURS.get(job.state, ""))
    console.print(Text.assemble(f"  {safe(job.name, 60)} ", state, f": {safe(words)}"))


def _print_blame(console: Console, blame: Blame, texts: dict[str, Written | None]) -> None:
    """Print which field was refused, and where it is written, with the line."""
    console.print(f"    {safe(blame.field)}: {safe(blame.source)}")
    if blame.source.place is not None:
        _print_excerpt(console, blame.source.place, texts)


def spent(found: Status) -> str:
    """Return what a campaign has cost, what is in doubt, and that it is unknown where it is."""
    currency = found.currency or ""
    known = f"Spent {found.spent:.2f} {currency}".rstrip()
    if found.in_doubt:
        known += f", {found.in_doubt:.2f} {currency} in doubt"
    if found.unknown_price_jobs:
        unknown = f"{count(found.unknown_price_jobs, 'job')} at a price that the profile does not know"
        return f"{known}, and {unknown}." if found.spent else f"Paid: {unknown}."
    return f"{known}."


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s'[: number != 1]}"
