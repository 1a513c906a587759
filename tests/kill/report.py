"""The report of a campaign, for people and for programs. Pure."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from subjects import UNDER_WAY
from tally import Kind, Tally
from verdict import PROMISES

_TITLES = {Kind.LIST: "with list", Kind.NO_LIST: "without list", Kind.CONTROL: "naive control"}


def document(tallies: Sequence[Tally], *, seed: str, seconds: float) -> dict[str, Any]:
    """Return the report as one JSON document."""
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "kinds": {
            tally.kind.value: {
                "kills": tally.counted,
                "trials": len(tally.trials),
                "runs": sum(trial.runs for trial in tally.trials),
                "counts": asdict(tally.counts),
                "wrong": tally.wrong,
                "states": {state: tally.by_state[state] for state in UNDER_WAY},
                "at_random": tally.by_failpoint[""],
                "failpoints": {name: tally.by_failpoint[name] for name in tally.failpoints},
                "too_few": tally.too_few,
                "log": {trial.name: [asdict(kill) for kill in trial.kills] for trial in tally.trials},
            }
            for tally in tallies
        },
    }


def text(tallies: Sequence[Tally], *, seed: str, seconds: float) -> str:
    """Return the report as a table. A dash: there is no such thing in this column."""
    names = list(dict.fromkeys(name for tally in tallies for name in tally.failpoints))
    lines = [
        f"kill campaign, seed {seed}: {seconds:.0f} s",
        _line("", [_TITLES[tally.kind] for tally in tallies]),
        _line("kills that count", [tally.counted for tally in tallies]),
        _line("  at random instants", [tally.by_failpoint[""] for tally in tallies]),
        _line("  at failpoints", [tally.counted - tally.by_failpoint[""] for tally in tallies]),
        _line("other kills", [sum(len(trial.kills) for trial in tally.trials) - tally.counted for tally in tallies]),
        _line("ledgers", [len(tally.trials) for tally in tallies]),
        _line("runs", [sum(trial.runs for trial in tally.trials) for tally in tallies]),
        *(
            _line(name, [getattr(tally.counts, name) for tally in tallies])
            for name in ("jobs", "posts", "faults", "billed", "done", "announced", "held")
        ),
        "",
        "must be zero, but for the control",
        *(_line(f"  {word}", [_count(tally, name) for tally in tallies]) for name, word in PROMISES.items()),
        "",
        "kills with a job in the state",
        *(
            _line(f"  {state}", [None if tally.kind is Kind.CONTROL else tally.by_state[state] for tally in tallies])
            for state in UNDER_WAY
        ),
        "",
        "kills at the failpoint",
        *(
            _line(f"  {name}", [tally.by_failpoint[name] if name in tally.failpoints else None for tally in tallies])
            for name in names
        ),
    ]
    return "\n".join(lines)


def _count(tally: Tally, name: str) -> int | None:
    control = tally.kind is Kind.CONTROL and name not in {"paid_twice", "forgotten", "posts_when_finished"}
    return None if control else getattr(tally.counts, name)


def _line(title: str, values: Sequence[object]) -> str:
    return f"{title:<28}" + "".join(f"{'-' if value is None else value:>15}" for value in values)
