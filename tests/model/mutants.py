"""Small changes of the core, each a mistake that somebody could make, and each caught by the exploration.

A model that does not see these proves nothing. The shipped functions are wrapped, never edited: what a mutant does not
speak of is decided as shipped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf

from model import server
from model.rules import LISTING, Core, Variant
from model.variants import VARIANTS

from pipeline.decisions import Action, Do, Moment, next_action
from pipeline.events import (
    TRANSITIONS,
    Doubted,
    Event,
    Failed,
    Published,
    Refused,
    Resubmitted,
    Returned,
    apply,
)
from pipeline.evidence import (
    Acceptance,
    Ambiguity,
    Evidence,
    Found,
    NoFile,
    NotThere,
    Ready,
    Refusal,
    Seen,
    Silence,
    Unreadable,
)
from pipeline.jobs import FailureKind, Job, State
from pipeline.matching import match
from pipeline.policies import Policy
from pipeline.videos import Status

_S = State
_FAILURE = server.failure(FailureKind.SERVER)
_Decision = Callable[[Job, Evidence, Moment, Policy], Action]
_Move = Mapping[tuple[State, type[Event]], State]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake, the world that it is made in, and words of the promise that it breaks.

    ``endings``: nothing is paid twice or forgotten, but not all that could end well does.
    """

    name: str
    variant: Variant
    core: Core
    breaks: str
    endings: bool = False


def _deciding(
    state: State,
    kind: type[Evidence],
    instead: _Decision,
    *,
    when: Callable[[Job, Evidence], bool] = lambda job, e: True,
    allowing: _Move | None = None,
) -> Core:
    """Return a core that decides ``instead`` in one place, and whose table has the moves that this takes."""

    def decide(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
        here = job.state is state and type(e) is kind and when(job, e)
        return (instead if here else next_action)(job, e, m, p)

    def changed(job: Job, event: Event) -> Job:
        after = (allowing or {}).get((job.state, type(event)))
        if after is None:
            return apply(job, event)
        like = next(one for one in _S if type(event) in TRANSITIONS[one])
        return replace(apply(replace(job, state=like), event), state=after)

    return Core(next_action=decide, apply=changed)


def _with(**numbers: object) -> Core:
    """Return a core that decides by other numbers."""
    return Core(next_action=lambda job, e, m, p: next_action(job, e, m, replace(p, **numbers)))


def _returned(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return Returned(failure=_FAILURE)


def _paid_again(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return Resubmitted(by="nobody", approvals=job.approvals + 1, sunk=job.sunk)


def _nothing(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return None


def _as_absent(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return next_action(job, NotThere(_FAILURE), m, p)


def _at_once(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return next_action(job, e, replace(m, tries=99, waited=inf), p)


def _without_pause(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    return next_action(job, e, replace(m, waited=inf), p)


def _missing(job: Job, e: Evidence, m: Moment, p: Policy) -> Action:
    raise KeyError


_VARIANTS = {variant.name: variant for variant in VARIANTS}
_ALONE = replace(_VARIANTS["neither a list nor keys"], confused=False, words=0, vanishing=False)
_SENDING = replace(_ALONE, renders=False)
_LIST = _VARIANTS["a list"]
_HASTY = _VARIANTS["a hasty list, what is absent is resubmitted"]
_ABSENT = replace(_HASTY, hasty=False)
_TWICE = _VARIANTS["a list, what is absent is resubmitted twice"]
_KEYS = replace(_VARIANTS["keys"], confused=False)
_TAKES = Variant("takes", LISTING, jobs=2, slow=frozenset(), plain=True, crashes=False, renders=False)

MUTANTS = (
    Mutant(
        "a timeout is retried",
        _SENDING,
        _deciding(_S.SUBMITTING, Ambiguity, _returned, when=lambda job, e: e.failure.http_status is None),
        "nobody has v1",
    ),
    Mutant(
        "a 5xx is retried",
        _SENDING,
        _deciding(_S.SUBMITTING, Ambiguity, _returned, when=lambda job, e: e.failure.http_status == 500),
        "nobody has v1",
    ),
    Mutant(
        "an intent that a dead run left counts as unsent",
        _SENDING,
        _deciding(_S.SUBMITTING, Found, _returned),
        "nobody has v1",
    ),
    Mutant(
        "no intent",
        _SENDING,
        _deciding(_S.PLANNED, Ready, lambda job, e, m, p: Do.SUBMIT),
        "intent is not on disk",
    ),
    Mutant("no settle", replace(_ABSENT, lateness=2), _with(settle=0.0), "nobody has v1"),
    Mutant("one list is believed", _HASTY, _deciding(_S.IN_DOUBT, NotThere, _at_once), "nobody has v1"),
    Mutant(
        "two lists without a pause are believed",
        _HASTY,
        _deciding(_S.IN_DOUBT, NotThere, _without_pause),
        "nobody has v1",
    ),
    Mutant(
        "what is absent is paid again, and nobody said so",
        replace(_ABSENT, policy=LISTING),
        _with(resubmit_absent=True),
        "a doubt is ended by Resubmitted",
    ),
    Mutant("what was seen of one attempt counts for the next", _TWICE, Core(anew=False), "nobody has v1"),
    Mutant(
        "an equal video of another time counts as absent",
        _VARIANTS["a list, the clock jumps"],
        _deciding(_S.IN_DOUBT, NotThere, lambda job, e, m, p: next_action(job, replace(e, alike=()), m, p)),
        "nobody has v1",
    ),
    Mutant(
        "a list that does not come shows nothing",
        _ABSENT,
        _deciding(_S.IN_DOUBT, Silence, _as_absent),
        "a doubt is ended by Resubmitted, after Silence",
    ),
    Mutant(
        "a list without prompts shows nothing",
        _ABSENT,
        _deciding(_S.IN_DOUBT, Unreadable, _as_absent),
        "a doubt is ended by Resubmitted, after Unreadable",
    ),
    Mutant(
        "a 4xx ends a doubt",
        _KEYS,
        _deciding(
            _S.IN_DOUBT,
            Refusal,
            lambda job, e, m, p: Refused(failure=e.failure),
            allowing={(_S.IN_DOUBT, Refused): _S.FAILED},
        ),
        "a doubt is ended by Refused",
    ),
    Mutant(
        "a rate limit ends a doubt",
        _KEYS,
        _deciding(
            _S.IN_DOUBT,
            Refusal,
            _returned,
            when=lambda job, e: e.failure.kind is FailureKind.RATE_LIMITED,
            allowing={(_S.IN_DOUBT, Returned): _S.PLANNED},
        ),
        "a doubt is ended by Returned",
    ),
    Mutant(
        "a fresh key for each replay",
        _KEYS,
        Core(key_of=lambda job, fresh: fresh if job.state is _S.IN_DOUBT else job.idempotency_key),
        "paid twice",
    ),
    Mutant("a key is believed for ever", _KEYS, _with(key_life=inf), "paid twice"),
    Mutant(
        "a key is repeated that the server does not heed",
        _SENDING,
        _with(replay=True),
        "paid twice",
    ),
    Mutant(
        "the id that a repeated key brings is dropped",
        _KEYS,
        _deciding(_S.IN_DOUBT, Acceptance, _nothing),
        "it ends as in_doubt",
        endings=True,
    ),
    Mutant(
        "an id that comes late is dropped",
        _SENDING,
        _deciding(_S.SUBMITTING, Acceptance, lambda job, e, m, p: Doubted(failure=_FAILURE)),
        "it ends as held",
        endings=True,
    ),
    Mutant(
        "two runs at once, and the ledger does not compare",
        _VARIANTS["two runs at once"],
        Core(compares=False),
        "paid twice",
    ),
    Mutant(
        "a ledger that is not synced, and a power cut",
        replace(_SENDING, synced=False),
        Core(),
        "nobody has v1",
    ),
    Mutant(
        "what is held clears itself",
        _SENDING,
        _deciding(_S.HELD, Found, _paid_again),
        "a doubt is ended by Resubmitted, after Found",
    ),
    Mutant(
        "what is held is not looked for again",
        _LIST,
        _deciding(_S.HELD, Found, _nothing),
        "it ends as held",
        endings=True,
    ),
    Mutant(
        "what the server forgot is paid again",
        _ALONE,
        _deciding(_S.LOST, NotThere, _paid_again),
        "paid twice",
    ),
    Mutant(
        "what is stuck is paid again",
        _ALONE,
        _deciding(_S.STUCK, Seen, _paid_again, when=lambda job, e: e.video.status is Status.ACTIVE),
        "paid twice",
    ),
    Mutant(
        "what has expired is paid again",
        _ALONE,
        _deciding(_S.EXPIRED, Found, _paid_again, allowing={(_S.EXPIRED, Resubmitted): _S.PLANNED}),
        "paid twice",
    ),
    Mutant(
        "a render that failed is paid again",
        _ALONE,
        _deciding(
            _S.SUBMITTED,
            Seen,
            _paid_again,
            when=lambda job, e: e.video.status is Status.FAILED,
            allowing={(_S.SUBMITTED, Resubmitted): _S.PLANNED},
        ),
        "paid twice",
    ),
    Mutant(
        "a 404 of a poll is a refusal",
        _ALONE,
        _deciding(_S.SUBMITTED, NotThere, _returned, allowing={(_S.SUBMITTED, Returned): _S.PLANNED}),
        "paid twice",
    ),
    Mutant(
        "a poll without an answer ends the job",
        _ALONE,
        _deciding(_S.SUBMITTED, Silence, lambda job, e, m, p: Failed(status="", price=job.price, failure=e.failure)),
        "given up after Silence",
    ),
    Mutant(
        "an orphan is sent again",
        _VARIANTS["an orphan, keys"],
        Core(narrowed=lambda job, policy: policy),
        "nobody asks for",
    ),
    Mutant(
        "an orphan that is absent is sent again",
        _VARIANTS["an orphan, a list"],
        Core(narrowed=lambda job, policy: policy),
        "nobody asks for",
    ),
    Mutant(
        "the id of another job is believed",
        replace(_SENDING, confused=True),
        Core(unique=False),
        "have one video",
    ),
    Mutant(
        "a match takes what has an owner",
        _TAKES,
        Core(match=lambda job, videos, claimed, **more: match(job, videos, claimed=(), **more)),
        "in circles",
        endings=True,
    ),
    Mutant(
        "a match takes what has an owner, and so does the ledger",
        _TAKES,
        Core(match=lambda job, videos, claimed, **more: match(job, videos, claimed=(), **more), unique=False),
        "have one video",
    ),
    Mutant(
        "a match takes what is older than the job",
        _VARIANTS["a list that may be hasty"],
        Core(
            match=lambda job, videos, latest, **more: match(replace(job, intended_at=0.0), videos, latest=inf, **more)
        ),
        "somebody made before",
    ),
    Mutant(
        "done without a file",
        replace(_ALONE, vanishing=True),
        _deciding(_S.VERIFIED, NoFile, lambda job, e, m, p: Published(path="p")),
        "done without its file",
    ),
    Mutant("evidence without a decision", _LIST, _deciding(_S.HELD, Silence, _missing), "no decision for Silence"),
    Mutant(
        "a decision that is forbidden",
        _ALONE,
        _deciding(_S.STUCK, Seen, lambda job, e, m, p: Doubted(failure=_FAILURE)),
        "the decision is forbidden",
    ),
)
