"""Every write of a small run, with every error: in the world of virtual time, and by the real command."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from errno import errorcode
from itertools import product
from math import inf
from pathlib import Path

from disk.failing import ERRORS, Fault
from disk.failing_command import Trouble, tried
from disk.failing_world import complaints_after
from disk.server import serving

_NEVER = 1_000_000
_MEMORY = Path("/dev/shm")
_AT_ONCE = 60

Say = Callable[[str], None]


def prove(say: Say, every: int = 1) -> bool:
    """Make every so-manieth call fail in every way, and say what was wrong; return whether nothing was."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as scratch:
        good = _in_the_world(say, Path(scratch), every)
        return _by_the_command(say, Path(scratch), every) and good


def _in_the_world(say: Say, scratch: Path, every: int) -> bool:
    good = True
    for keys, error in product((True, False), ERRORS):
        cases, wrong = 0, list[str]()
        for lasts in (1, 2, 3, 4, 5, 6, inf):
            for number in range(1, _NEVER, every):
                fault, cases = Fault(number, error, lasts), cases + 1
                found = complaints_after(scratch / f"{keys}-{error}-{lasts}-{number}", fault, keys=keys)
                wrong += [f"    {number}, {lasts} times: {fault.struck}: {what}" for what in found]
                if fault.struck is None:
                    break
        say(f"in the world, keys {keys}, {errorcode[error]}: {cases} runs, {len(wrong)} wrong")
        for line in wrong:
            say(line)
        good &= not wrong
    return good


def _by_the_command(say: Say, scratch: Path, every: int) -> bool:
    wrong, codes, number = 0, Counter[tuple[int | None, int | None]](), 0
    with serving(scratch) as server:
        (healthy,) = tried(scratch / "healthy", server, [Trouble(fault=(_NEVER, ERRORS[0], 1))])
        troubles = list(_troubles(len(healthy.first.calls) + 10, every))
        for number in range(0, len(troubles), _AT_ONCE):
            for trial in tried(scratch / f"commands-{number}", server, troubles[number : number + _AT_ONCE]):
                codes[trial.first.code, trial.second.code] += 1
                wrong += bool(trial.wrong)
                for what in trial.wrong:
                    say(f"    {trial.trouble} {_struck(trial.trouble, trial.first.calls)}: {what}")
    say(f"by the command: {len(troubles)} runs, {wrong} wrong; exit codes, then those of the next run: {dict(codes)}")
    return not wrong


def _troubles(count: int, every: int) -> Iterator[Trouble]:
    for number in range(1, count, every):
        for error, (lasts, home) in product(ERRORS, ((1, False), (inf, False), (inf, True))):
            yield Trouble(fault=(number, error, lasts), home=home, keys=(number + error) % 2 == 0)
    yield from (Trouble(pages=pages, keys=pages % 2 == 0) for pages in range(1, 40))
    yield from (Trouble(longest=kib << 10, begun=True, keys=kib % 16 == 0) for kib in range(4, 400, 8))


def _struck(trouble: Trouble, calls: tuple[str, ...]) -> str:
    number = trouble.fault[0] if trouble.fault else 0
    return calls[number - 1] if 0 < number <= len(calls) else ""
