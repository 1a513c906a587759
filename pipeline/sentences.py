"""How a run is said in words: what the live table and the lines in a pipe have in common. Pure.

Every foreign string goes through ``render.safe``.
"""

from collections.abc import Mapping

from pipeline.jobs import FOR_A_PERSON, OVER, Job, State
from pipeline.ledger.lock import Holder
from pipeline.render import count, safe
from pipeline.tally import Gauges, Tally

WORTH_A_LINE = OVER | FOR_A_PERSON | {State.SUBMITTED, State.DONE, State.IN_DOUBT}
TROUBLE = OVER | FOR_A_PERSON | {State.IN_DOUBT}

_GROUPS = {
    "submitting": (State.SUBMITTING,),
    "rendering": (State.SUBMITTED,),
    "to download": (State.COMPLETED, State.VERIFIED),
    "done": (State.DONE,),
    "failed": tuple(OVER),
    "in doubt": (State.IN_DOUBT,),
    "for a person": tuple(FOR_A_PERSON),
}
_SIZES = {"GB": 1e9, "MB": 1e6, "kB": 1e3}


def states(tally: Tally) -> list[str]:
    """Return how many jobs stand where; of the planned ones, how many this run submits."""
    todo = min(max(0, tally.todo), tally.counts[State.PLANNED])
    numbers = {"to submit": todo, "left for another run": tally.counts[State.PLANNED] - todo}
    numbers |= {words: sum(tally.counts[state] for state in states) for words, states in _GROUPS.items()}
    return [f"{number:,} {words}" for words, number in numbers.items() if number] or ["nothing to do"]


def submits(tally: Tally, gauges: Gauges | None, now: float) -> list[str]:
    """Return how fast jobs are submitted, how fast they may be, and why they are not."""
    if gauges is None:
        return [f"{_short(tally.submits_per_minute(now))} a minute"]
    told = [f"{_short(tally.submits_per_minute(now))} a minute of {_short(gauges.rate)}"]
    if gauges.rate < gauges.most_rate:
        told.append(f"as the server wants; yours is {_short(gauges.most_rate)}")
    if gauges.stop is not None:
        told.append(f"no more: {gauges.stop.value}")
    elif gauges.paused >= 1:
        told.append(f"paused for {duration(gauges.paused)}")
    if gauges.unheard:
        told.append(f"{count(gauges.unheard, 'request')} in a row without an answer")
    return told


def downloads(tally: Tally, gauges: Gauges) -> list[str]:
    speed = tally.bytes_per_second()
    told = [f"{gauges.downloads} of {gauges.most_downloads}", f"{speed / 1e6:.1f} MB/s"]
    return [*told, size(gauges.received)] if gauges.received else told


def money(tally: Tally) -> list[str]:
    """Return what was spent, what may have been, and of how much. An unknown price is said, and never counted."""
    currency = f" {safe(tally.currency, 8)}" if tally.currency else ""
    limit = "" if tally.budget is None else f" of {tally.budget:.2f}"
    told = []
    if tally.spent or tally.budget is not None or not tally.unknown_price_jobs:
        told.append(f"{_amount(tally.spent)}{limit}{currency}")
    if _amount(tally.in_doubt) != "0.00":
        told.append(f"{_amount(tally.in_doubt)} in doubt")
    if tally.unknown_price_jobs:
        told.append(f"price unknown for {count(tally.unknown_price_jobs, 'job')}")
    return told


def left(tally: Tally, now: float) -> str:
    """Return how long it will take yet."""
    seconds = tally.remaining(now)
    if seconds is None and tally.render is not None:
        return "time left unknown while nothing is submitted"
    if seconds is None:
        return "time left unknown until some have rendered"
    if seconds:
        return f"about {duration(seconds)} left"
    return "due at any moment" if tally.is_rendering else "nothing left to render"


def about(job: Job, length: int = 120, name: int = 60) -> str:
    """Return where a job stands, and what that came from: so many letters of it, and of the job's name."""
    detail = {State.SUBMITTED: job.video_id, State.DONE: job.path}.get(job.state)
    if detail is None and job.failure is not None:
        detail = f"{job.failure.kind.value.replace('_', ' ')}: {job.failure.message}"
    return f"{safe(job.name, name)} {job.state.value.replace('_', ' ')}  {safe(detail or '', length)}".rstrip()


def stopping(counts: Mapping[State, int], downloads: int) -> str:
    submissions = counts.get(State.SUBMITTING, 0)
    return (
        f"Stopping: {count(submissions, 'submission')} being recorded, {count(downloads, 'download')} finishing. "
        "Ctrl-C again to leave now; nothing is lost or paid twice."
    )


def leaving(counts: Mapping[State, int]) -> str:
    submissions = counts.get(State.SUBMITTING, 0)
    return f"Left now. {count(submissions, 'submission')} unconfirmed: the next run looks into that first."


def run_by(holder: Holder | None) -> str:
    """Return who runs a campaign."""
    if holder is None or holder.runs is False:
        return "No run at the moment."
    who = f"process {holder.pid} on {safe(holder.host, 40)}"
    return f"Run by {who}." if holder.runs else f"Run by {who}, if that is still there."


def duration(seconds: float) -> str:
    """Return a time as people say it: two units at most."""
    whole = max(1, round(seconds))
    for unit, long, smaller, short in (("d", 86400, "h", 3600), ("h", 3600, "min", 60)):
        if whole >= long:
            return f"{whole // long} {unit} {whole % long // short} {smaller}"
    return f"{round(whole / 60)} min" if whole >= 90 else f"{whole} s"


def elapsed(seconds: float) -> str:
    """Return a time as a clock shows it."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def size(number: int) -> str:
    for unit, factor in _SIZES.items():
        if number >= factor:
            return f"{number / factor:.1f} {unit}"
    return f"{number} bytes"


def _short(number: float) -> str:
    """Return a number with a decimal where that says something."""
    return f"{number:,.0f}" if number >= 100 or abs(number - round(number)) < 0.05 else f"{number:.1f}"


def _amount(money: float) -> str:
    return f"{abs(money) if abs(money) < 0.005 else money:.2f}"  # sums of differences may come to -0.00
