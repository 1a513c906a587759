"""Profiles, and what the doctor found at a server, for people. Every foreign string goes through ``render.safe``."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.authoring import Known, Portrait
from pipeline.comparing import MODELS, Fact, Row
from pipeline.doctor import Examined
from pipeline.render import safe
from pipeline.symptoms import Verdict

_LONGEST = 2000
_RULES: Mapping[str, str] = {
    "pattern": "what fits {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
}
_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.PROBLEM: "bold red",
    Verdict.UNKNOWN: "dim",
}
_ABSENT = "-"
_WIDEST = 48


def profiles(console: Console, found: Portrait) -> None:
    """Print a list of profiles, every field of one, or the fields in which two differ."""
    if not found.rows and len(found.profiles) != 2:
        _list(console, found.profiles)
    elif len(found.profiles) == 1:
        _one(console, found.profiles[0], found.rows)
    else:
        _two(console, found)


def doctor(console: Console, found: Examined) -> None:
    """Print what every probe found, and what the server taught about its profile."""
    where = found.base_url or "in this process"
    console.print(Text.assemble((safe(found.profile.title), "bold"), f"  {safe(where)}"))
    for one in found.findings:
        verdict = (f"{one.verdict.value:9}", _COLOURS[one.verdict])
        console.print(Text.assemble((f"{one.probe:12}", "bold"), verdict, safe(one.message, 600)))
        if one.fix:
            console.print(Text.assemble(" " * 21, ("fix: ", "green"), safe(one.fix)))
    new = [one for one in found.learned if one.is_new]
    if new:
        console.print(Text("Learned, other than the profile says:", "bold"))
    for learned in new:
        lesson, said = learned.lesson, _ABSENT if learned.said is None else _plain(learned.said)
        words = f"{safe('.'.join(lesson.field))}: {safe(_plain(lesson.value))}; the profile says {safe(said)}"
        console.print(f"  {words} ({safe(lesson.how)})")
    same = [".".join(one.lesson.field) for one in found.learned if not one.is_new]
    if same:
        console.print(f"As the profile says: {safe(', '.join(same))}")
    if found.draft:
        console.print(f"Draft    {safe(found.draft)}")


def _list(console: Console, found: Iterable[Known]) -> None:
    lines, broken = [("name", "title", "whose", "key", "address")], []
    for one in found:
        whose = one.whose.value + (f" ({one.file})" if one.file else "")
        if one.profile is None:
            broken.append(one)
            lines.append((one.name, "no profile", whose, _ABSENT, _ABSENT))
        else:
            key = " or ".join(one.profile.auth.env) or "none"
            lines.append((one.name, one.profile.title, whose, key, one.profile.base_url or "say it with --base-url"))
    _columns(console, lines)
    for one in broken:
        console.print(Text.assemble((f"{safe(one.file)}: ", "bold red"), safe(one.problem, _LONGEST)))


def _one(console: Console, one: Known, rows: Iterable[Row]) -> None:
    """Print each field with what it means. What the profile is silent about is said to be so."""
    console.print(
        Text.assemble((safe(one.name), "bold"), f"  {one.whose.value}", f" ({safe(one.file)})" * bool(one.file))
    )
    lines = [("field", "value", "what it is")]
    for row in rows:
        fact = row.facts[0]
        if fact is not None:
            lines.append((".".join(row.field), _words(row, fact) + " (default)" * (not fact.given), fact.meaning))
    _columns(console, lines)


def _two(console: Console, found: Portrait) -> None:
    first, second = found.profiles
    if not found.rows:
        console.print(f"{safe(first.name)} and {safe(second.name)} say the same.")
        return
    lines = [("field", first.name, second.name)]
    for row in found.rows:
        one, other = (_ABSENT if fact is None else _words(row, fact) for fact in row.facts)
        lines.append((".".join(row.field), one, other))
    _columns(console, lines)
    console.print(f"{_ABSENT} is where a profile says nothing; * is every model that is not named.")


def _columns(console: Console, lines: Sequence[tuple[str, ...]]) -> None:
    """Print lines in columns, the first of them as heads, the first column in bold. No line is cut for a terminal."""
    shown = [[safe(cell, _LONGEST) for cell in line] for line in lines]
    widths = [min(max(map(len, column)), _WIDEST) for column in zip(*shown, strict=True)]
    for number, line in enumerate(shown):
        first, *rest = (f"{cell:{width}}  " for cell, width in zip(line, [*widths[:-1], 0], strict=True))
        styles = ("dim", "dim") if number == 0 else ("bold", "")
        console.print(Text.assemble((first, styles[0]), ("".join(rest).rstrip(), styles[1])))


def _words(row: Row, fact: Fact) -> str:
    """Return a value as a person would write it; the rules of a request in words."""
    value = fact.value
    if isinstance(value, Mapping) and row.field[0] == MODELS:
        return ", ".join(_rules(value)) or "anything"
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return _plain(value)


def _rules(rules: Mapping[str, Any]) -> Iterator[str]:
    """Yield the rules of JSON Schema in words, where there are words for them."""
    least, most = rules.get("minLength"), rules.get("maxLength")
    if least is not None and most is not None:
        yield f"{least:,} to {most:,} characters"
    for word, rule in rules.items():
        if word not in {"minLength", "maxLength"} or least is None or most is None:
            yield _RULES.get(word, f"{word}: {{}}").replace("{}", _plain(rule))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
