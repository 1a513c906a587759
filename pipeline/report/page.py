"""The page: head and charts as HTML, the frames as data, one style and one script, each pinned by its hash. Pure.

Nothing that comes from outside is ever markup: in the HTML it is escaped, in the data it is JSON in which no tag can
begin, and the script makes text of it and nothing else. The policy in the head would stop what slipped through.
"""

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from string import Template
from typing import Any

from pipeline import neutral
from pipeline.actions import ACTIONS
from pipeline.jobs import FOR_A_PERSON, OVER, State
from pipeline.report import charts, measures
from pipeline.report.charts import Chart, duration
from pipeline.report.frames import Footage, History, frames
from pipeline.summary import Status

_FOR_JSON = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


@dataclass(frozen=True, slots=True)
class Account:
    """All that the page tells. ``made`` is when, ``limit`` submissions a minute, ``note`` what it lacks and why."""

    status: Status
    provider: str | None
    histories: Sequence[History]
    footage: dict[str, Footage]
    made: float
    limit: float | None = None
    note: str | None = None


def html(account: Account) -> str:
    """Return the page."""
    style, script = _part("page.css"), _part("page.js")
    shown = neutral.throughout({"name": account.status.name, "provider": account.provider or ""})
    kept = frames(account.histories, account.footage)
    data = {
        "name": shown["name"],
        "currency": neutral.on_lines(account.status.currency or ""),
        "made": account.made,
        "jobs": kept,
    }
    return Template(_part("page.html")).substitute(
        policy=escape(policy(style, script)),
        title=escape(shown["name"]),
        provider=escape(f" · {shown['provider']}" if shown["provider"] else ""),
        made=escape(time.strftime("%d %B %Y, %H:%M UTC", time.gmtime(account.made)).lstrip("0")),
        facts=_facts(account, sum(frame.get("picked", False) for frame in kept)),
        bar=_bar(account.status),
        needs=_needs(account.status),
        charts="".join(chart.html() for chart in _charts(account)),
        note=f"<p>{escape(account.note)}</p>" if account.note else "",
        data=for_script(data),
        style=style,
        script=script,
    )


def policy(style: str, script: str) -> str:
    """Return the Content-Security-Policy: this style, this script, pictures in the page, videos beside it."""
    return (
        f"default-src 'none'; img-src data:; media-src 'self' file:; style-src '{_pin(style)}'; "
        f"script-src '{_pin(script)}'; base-uri 'none'; form-action 'none'"
    )


def for_script(value: Any) -> str:
    """Return JSON that can stand in a script element: nothing in it is a tag, a comment or a line's end to a parser."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_FOR_JSON)


def _pin(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _part(name: str) -> str:
    return (resources.files("pipeline.report") / name).read_text("utf-8")


def _charts(account: Account) -> Iterable[Chart]:
    histories = account.histories
    asked = sum(not history.job.orphaned for history in histories)
    yield charts.progress_chart(measures.progress(histories), asked)
    yield charts.pace_chart(measures.pace(histories, account.limit))
    yield charts.rendering_chart(measures.rendering(histories))
    yield charts.failures_chart(measures.failures(histories))


def _facts(account: Account, picked: int) -> str:
    """Return the numbers at the head, each a term and its value."""
    status, jobs = account.status, account.status.jobs
    asked = [job for job in jobs if not job.orphaned]
    done = [job for job in jobs if job.state is State.DONE]
    facts = [("Videos", f"{sum(job.state is State.DONE for job in asked)} of {len(asked)}", "done")]
    if picked:
        facts.append(("Selects", str(picked), "picked"))
    facts.append(_spent(status))
    if status.in_doubt:
        facts.append(("In doubt", _money(status.in_doubt, status.currency), "may have been paid"))
    film = sum(float(job.request.get("seconds") or 0) for job in done if _is_number(job.request.get("seconds")))
    if film:
        facts.append(("Footage", duration(film), f"{_size(sum(job.bytes or 0 for job in done))} on disk"))
    orphans = sum(status.sums.orphaned.values())
    if orphans:
        facts.append(("Orphaned", str(orphans), "not in the manifest"))
    return "".join(
        f"<div><dt>{escape(term)}</dt><dd>{escape(value)} <small>{escape(more)}</small></dd></div>"
        for term, value, more in facts
    )


def _spent(status: Status) -> tuple[str, str, str]:
    bounds = [] if status.budget is None else [f"of a budget of {_money(status.budget, status.currency)}"]
    bounds += [] if status.max_videos is None else [f"for {status.max_videos} videos at the most"]
    of = ", ".join(bounds) or "no budget was set"
    if not status.unknown_price_jobs:
        return "Spent", _money(status.spent, status.currency), of
    jobs = f"{status.unknown_price_jobs} job{'s'[: status.unknown_price_jobs != 1]}"
    if not status.spent:
        return "Spent", "price unknown", f"for {jobs}, {of}"
    return "Spent", f"{_money(status.spent, status.currency)} + ?", f"price unknown for {jobs}, {of}"


def _bar(status: Status) -> str:
    """Return a bar of the states, and how many jobs are in each."""
    counts = {state: count for state, count in status.counts.items() if count}
    total = sum(counts.values())
    if not total:
        return "<p>There are no jobs.</p>"
    left, pieces, names = 0.0, [], []
    for state in sorted(counts, key=_ORDER.index):
        wide = 1000 * counts[state] / total
        pieces.append(f'<rect class="s-{state}" x="{left:.2f}" y="0" width="{max(wide - 2, 1):.2f}" height="8"/>')
        left += wide
        words = f"{counts[state]} {state.value.replace('_', ' ')}"
        names.append(f'<li><span class="dot s-{state}"></span>{words}</li>')
    drawn = "".join(pieces)
    return (
        f'<svg class="bar-of-states" viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
        f'<ul class="legend">{"".join(names)}</ul>'
    )


_ORDER = (
    State.DONE,
    State.VERIFIED,
    State.COMPLETED,
    State.SUBMITTED,
    State.SUBMITTING,
    State.PLANNED,
    State.IN_DOUBT,
    State.HELD,
    State.LOST,
    State.STUCK,
    State.EXPIRED,
    State.FAILED,
)


def _needs(status: Status) -> str:
    """Return what a person can do, for each class of errors that stands."""
    standing = measures.standing(status.jobs)
    if not standing:
        return ""
    items = "".join(
        f"<li><strong>{len(jobs)} {kind.value.replace('_', ' ')}</strong> {_with_code(ACTIONS[kind].advice)}</li>"
        for kind, jobs in standing.items()
    )
    states = ",".join(state.value for state in State if state in OVER | FOR_A_PERSON)
    return (
        f'<section class="needs" aria-labelledby="needs-h"><h2 id="needs-h">Needs a look</h2><ul>{items}</ul>'
        f'<p><a href="#state={states}">Show these frames</a></p></section>'
    )


def _with_code(text: str) -> str:
    """Return one of our own sentences, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _money(amount: float, currency: str | None) -> str:
    return f"{amount:,.2f} {neutral.on_lines(currency or '')}".rstrip()


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _is_number(value: Any) -> bool:
    try:
        return float(value) < 1e6
    except (TypeError, ValueError):
        return False
