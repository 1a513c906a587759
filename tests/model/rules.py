"""The rules of a model's world: which core is explored, what the server is able to do, which faults there are.

Time is counted in ticks, and the numbers of the policies are so small, in ticks, that every wait of the shipped core
begins and ends within a few of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipeline import decisions, events, matching
from pipeline.decisions import Do, Moment
from pipeline.events import Event
from pipeline.evidence import Evidence
from pipeline.jobs import FailureKind, Job, Spec, State
from pipeline.policies import Policy

TICK = 200.0
"""Seconds. Longer than ``matching.SKEW``, so that the window of a match begins and ends between two ticks."""

POLICY = Policy(
    replays=2,
    key_life=3 * TICK,
    settle=2 * TICK,
    between=TICK,
    lost_polls=2,
    lost_after=TICK,
    stuck_after=2 * TICK,
    content_after=TICK,
    bad_files=2,
    silences=2,
)
FOREVER = 1000
"""A count that is never reached."""

LISTING = replace(POLICY, listing=True)
RESUBMITTING = replace(LISTING, resubmit_absent=True)
REPLAYING = replace(POLICY, replay=True)
ONCE_MORE = replace(
    POLICY,
    again=frozenset({FailureKind.SERVER, FailureKind.LOST, FailureKind.EXPIRED, FailureKind.BAD_OUTPUT}),
    attempts=2,
)

REQUEST = {"model": "sora-2", "prompt": "A fox", "size": "1280x720", "seconds": "4"}


class BrokenPromise(Exception):
    """A promise that the explored core does not keep: the message says which."""


@dataclass(frozen=True, slots=True)
class Core:
    """What is explored: the shipped functions, or mutants of them.

    ``key_of`` is the key that a POST carries (``steps._submit``), ``narrowed`` the policy for a job (``Run._drive``).
    ``compares``: the ledger refuses to write over a row that is not as the run left it. ``unique``: it refuses an id
    that another job has. ``anew``: counting begins anew with each attempt (``_Sense``).
    """

    next_action: Callable[[Job, Evidence, Moment, Policy], decisions.Action] = decisions.next_action
    apply: Callable[[Job, Event], Job] = events.apply
    match: Callable[..., Evidence] = matching.match
    key_of: Callable[[Job, str], str | None] = lambda job, fresh: job.idempotency_key
    narrowed: Callable[[Job, Policy], Policy] = lambda job, policy: (
        replace(policy, replay=False, resubmit_absent=False) if job.orphaned else policy
    )
    compares: bool = True
    unique: bool = True
    anew: bool = True


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of world. A run may die at any time, as often as it likes, unless it is said otherwise."""

    name: str
    policy: Policy = POLICY
    jobs: int = 1
    """All of them takes of one request, so that any video fits any of them."""
    orphaned: bool = False
    """Nobody asks for them any more."""
    left: bool = False
    """A run has died with the job's POST under way; else nothing was sent yet."""
    quiet: int = 0
    """Ticks before the first run."""

    lateness: int = 1
    """Ticks after the end of a POST, by an answer or a crash, for which it may still be carried out."""
    memory: int | None = None
    """Ticks for which the server remembers an Idempotency-Key; None where it heeds none."""
    echoes: bool = False
    """The server's list shows our reference."""
    spells: str = REQUEST["model"]
    """The model's name, as the list writes it."""
    hasty: bool = False
    """A list may lack anything, for less than ``between``, once."""
    long_lists: bool = False
    """Time passes between what a list shows and its arrival."""
    stranger: bool = False
    """The server has a video like the job's that somebody made before."""
    confused: bool = False
    """The server may answer with the id of another job's video."""
    deaf: bool = False
    """No answer to a POST is ever heard."""

    slow: frozenset[Do] = frozenset({Do.PREPARE, Do.SUBMIT, Do.RECONCILE, Do.POLL, Do.DOWNLOAD})
    """The work during which time can pass. It always can where nothing runs. Two lists are not long apart."""
    suspends: bool = False
    """Time can pass anywhere: the machine sleeps."""
    jumps: tuple[int, ...] = ()
    """Ticks by which the machine's clock may jump, once."""
    vanishing: bool = False
    """Files may vanish, at any time."""
    crashes: bool = True
    runs: int = 1
    """At the same time. The lock allows one."""
    synced: bool = True
    """What the ledger acknowledged survives a power cut."""

    posts: int = 2
    """How many may leave. After these, nothing more is submitted."""
    words: int = 0
    """How often a person may say that it is to be paid once more, or given up."""
    budget: int | None = None
    """How many intents may be reserved."""
    renders: bool = True
    """What follows an id is explored too."""
    plain: bool = False
    """Only answers and silence: no refusals, no list that fails or shows too little."""

    @property
    def counted_to(self) -> int:
        """No decision asks whether anything has happened more often."""
        policy = self.policy
        counts = policy.replays, policy.lost_polls, policy.bad_files, policy.silences
        return max(count for count in counts if count < FOREVER) + 1


def _watched(policy: Policy) -> float:
    return policy.settle + 2 * policy.between


COUNTED: Mapping[tuple[State, Do | None], Callable[[Policy], float]] = {
    (State.IN_DOUBT, None): lambda policy: 0.0,
    (State.IN_DOUBT, Do.SUBMIT): lambda policy: 0.0,
    (State.IN_DOUBT, Do.RECONCILE): _watched,
    (State.HELD, Do.RECONCILE): _watched,
    (State.SUBMITTED, Do.POLL): lambda policy: policy.lost_after,
    (State.COMPLETED, Do.DOWNLOAD): lambda policy: policy.content_after,
    (State.VERIFIED, Do.PLACE): lambda policy: 0.0,
}
"""Where a decision asks how often, and after how many seconds it does not matter any more for how long: 0 where no
decision asks for that. A test finds out whether these are all; what nobody asks for does not tell two worlds apart.
"""


def specs(variant: Variant) -> tuple[Spec, ...]:
    return tuple(Spec(f"fox#{take}", take, REQUEST, f"fox-{take}.mp4", "m.yaml:1:1") for take in range(variant.jobs))
