"""What a trial came to, counted by the server's bill and by the files; never by what the runner thinks of itself."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from injection import AMBIGUOUS
from subjects import Callsheet, Naive
from trial import Trial, requests

from pipeline import mp4
from pipeline.jobs import DOUBTFUL, Job, State
from pipeline.simulator.store import Store

_EXITS = {0, 3, 69}
"""What a run may end with here, where nothing is refused: done, held jobs, run again."""


@dataclass(slots=True)
class Counts:
    """Numbers of one trial, or of many."""

    paid_twice: int = 0
    """Videos on the bill beyond those that were asked for."""
    forgotten: int = 0
    """Videos on the bill whose id no row has, and whose job is not in doubt either."""
    bad_files: int = 0
    """Jobs that are done and have no file, another one than recorded, no whole MP4, or another video's."""
    posts_when_finished: int = 0
    """POSTs of the run after the last one."""
    requests_when_done: int = 0
    """Requests of any kind by that run, where every job is done."""
    unannounced: int = 0
    """POSTs that arrived before their intent was on disk."""
    held_needlessly: int = 0
    """With a list: jobs held although their video was in it; any, where what is not in it may be paid for again."""
    held_unexplained: int = 0
    """Jobs held without a kill or a fault between their intent and their answer."""
    too_many_posts: int = 0
    """Kills that left more announced requests than may be under way."""
    unsettled: int = 0
    """Jobs that no further run moves, and that wait for nobody."""
    strange_exits: int = 0
    """Runs that ended as no run should."""
    leftovers: int = 0
    """Part files that are left when everything is over."""
    jobs: int = 0
    billed: int = 0
    done: int = 0
    held: int = 0
    announced: int = 0
    """Prompts whose request was under way at a kill."""
    faults: int = 0
    posts: int = 0

    @property
    def wrong(self) -> dict[str, int]:
        """Return what should be zero and is not."""
        return {name: value for name in PROMISES if (value := getattr(self, name))}

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Counts)})


PROMISES = {
    "paid_twice": "paid twice",
    "forgotten": "forgotten",
    "bad_files": "done with a bad file",
    "posts_when_finished": "POSTs on a finished rerun",
    "requests_when_done": "requests when all is done",
    "unannounced": "POSTs before their intent",
    "held_needlessly": "held needlessly",
    "held_unexplained": "held without a cause",
    "too_many_posts": "kills with over 4 POSTs",
    "unsettled": "never settled",
    "strange_exits": "strange exit codes",
    "leftovers": "part files left",
}
"""What must be zero, and how that is called."""

POSTS_AT_ONCE = 4
"""The README's word: a crash leaves at most four requests without a recorded answer."""


def judged(trial: Trial, subject: Callsheet | Naive) -> Counts:
    """Return the counts of a trial that is over."""
    with Store.open(trial.folder / "bill.db") as store:
        bill = {line.video_id: str(json.loads(line.request)["prompt"]) for line in store.bill()}
    asked = requests(trial.folder)
    posts = [request for request in asked if request["method"] == "POST"]
    counts = Counts(
        paid_twice=sum(max(0, lines - subject.takes) for lines in Counter(bill.values()).values()),
        posts_when_finished=trial.rerun.count("POST"),
        jobs=subject.jobs,
        billed=len(bill),
        done=trial.finished[State.DONE],
        announced=len(trial.announced),
        faults=sum(request.get("fault", "none") != "none" for request in asked),
        posts=len(posts),
    )
    if isinstance(subject, Naive):
        counts.forgotten = len(bill.keys() - subject.ids().values())
        return counts
    rows = subject.rows()
    claimed = {job.video_id for job in rows}
    unclaimed = Counter(prompt for video_id, prompt in bill.items() if video_id not in claimed)
    doubtful = Counter(_prompt(job) for job in rows if job.state in DOUBTFUL)
    held = Counter(_prompt(job) for job in rows if job.state is State.HELD)
    explained = trial.announced | {request["prompt"] for request in posts if _is_ambiguous(request)}
    counts.forgotten = (unclaimed - doubtful).total()
    counts.bad_files = sum(not _is_good(job, subject.campaign, bill) for job in rows if job.state is State.DONE)
    counts.requests_when_done = len(trial.rerun) if {job.state for job in rows} == {State.DONE} else 0
    counts.unannounced = sum("unannounced" in request for request in posts)
    counts.held = held.total()
    if subject.listing:
        counts.held_needlessly = (held if subject.resubmit else held & unclaimed).total()
    counts.held_unexplained = sum(number for prompt, number in held.items() if prompt not in explained)
    counts.too_many_posts = sum(kill.submitting > POSTS_AT_ONCE for kill in trial.kills)
    counts.unsettled = sum(job.state not in {State.DONE, State.HELD} for job in rows) + subject.jobs - len(rows)
    counts.strange_exits = sum(number for code, number in trial.exits.items() if code not in _EXITS)
    counts.leftovers = sum(1 for _ in subject.campaign.rglob("*.part"))
    return counts


def _prompt(job: Job) -> str:
    return str(job.request["prompt"])


def _is_ambiguous(request: dict[str, str]) -> bool:
    return request.get("fault") in AMBIGUOUS or "instant" in request


def _is_good(job: Job, campaign: Path, bill: Mapping[str, str]) -> bool:
    """Whether the file is what the ledger says, a whole MP4, and the video that was billed for this job's prompt."""
    path = campaign / (job.path or "nowhere")
    if not path.is_file() or job.video_id is None:
        return False
    data = path.read_bytes()
    with path.open("rb") as file:
        whole = isinstance(mp4.inspect(file), mp4.Mp4)
    ours = data.endswith(job.video_id.encode()) and bill.get(job.video_id) == _prompt(job)
    return whole and ours and hashlib.sha256(data).hexdigest() == job.sha256
