"""The model checker's command: the shipped core in every world, every mutant of it, and every assumption taken away.

    python tests/model/explore.py               # what the tests explore, with its numbers: seconds
    python tests/model/explore.py --long        # more of everything, two jobs, thousands of campaigns: minutes
    python tests/model/explore.py --trace WORD  # the shortest counter-examples of whatever has this word in its name

Ends with 0 where every promise is kept and every mutant is caught.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import click
from model.mutants import MUTANTS
from model.search import Found, explore
from model.variants import ASSUMED, LONG, VARIANTS

Case = tuple[str, str, bool, Callable[[], Found]]
"""A chapter, a name, whether every promise must be kept, and what explores it."""

KEPT, CAUGHT, ASSUMPTION = "kept", "mutant", "assumed"


def cases(*, thorough: bool) -> Iterator[Case]:
    for variant in VARIANTS + (LONG if thorough else ()):
        yield KEPT, variant.name, True, lambda variant=variant: explore(variant)
    for mutant in MUTANTS:
        yield CAUGHT, mutant.name, False, lambda m=mutant: explore(m.variant, m.core, endings=m.endings)
    for variant in ASSUMED:
        yield ASSUMPTION, variant.name, False, lambda variant=variant: explore(variant, endings=False)


@click.command(help=__doc__)
@click.option("--long", "thorough", is_flag=True, help="Explore for minutes.")
@click.option("--trace", "word", help="Explore only what has this word in its name, and show the traces.")
def main(*, thorough: bool, word: str | None) -> None:
    began, wrong = time.monotonic(), 0
    for chapter, name, kept, look in cases(thorough=thorough):
        if word is not None and word not in name:
            continue
        started = time.monotonic()
        found = look()
        as_it_should = (found.broken is None) == kept
        wrong += not as_it_should
        said = found.broken or "every promise is kept"
        seconds = time.monotonic() - started
        click.echo(f"{chapter:8} {found.states:8} states {seconds:6.1f} s  {name}: {said}")
        if word is not None or not as_it_should:
            click.echo(str(found))
    if thorough and word is None:
        wrong += not _many_jobs()
    click.echo(f"{wrong} of these are not as they should be; {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(wrong))


def _many_jobs() -> bool:
    """Let chance try thousands of campaigns of several jobs."""
    from hypothesis.stateful import run_state_machine_as_test  # noqa: PLC0415  # slow to import
    from model.machine import ManyJobs, careful  # noqa: PLC0415

    started = time.monotonic()
    run_state_machine_as_test(ManyJobs, settings=careful(3000, 80, by_chance=True))
    click.echo(f"{KEPT:8} {3000:8} campaigns {time.monotonic() - started:.1f} s  several jobs, a real ledger")
    return True


if __name__ == "__main__":
    main()
