"""The numbers in the decisions, of a server's profile and of a manifest. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.jobs import FailureKind
from pipeline.profile import Profile

ATTEMPTS = 3
"""How often a job may be paid for, where the manifest's ``retry`` does not say."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers in the decisions. Seconds and counts.

    ``replay``: the profile says that a repeated Idempotency-Key never creates a second job; it is believed for
    ``key_life``, and though the intent lies ``skew`` ahead, as the clock was set. ``listing``: the profile says that
    the server lists its jobs. What the lists of one run, ``between`` apart, have not shown for ``settle`` and at least
    two more, was probably never created: a request can hardly be under way for longer. Counted by the run's own clock
    from its first list, which is later than any POST of the job: the wall clock may jump, and the machine may sleep
    between an intent and its POST. That is an assumption all the same, so the job is held then, unless a person said
    ``resubmit_absent``.

    ``again``: failures after which the job may be paid for once more, as the manifest says, or was not billed, as the
    profile says (``unbilled``); ``attempts`` bounds how often one job may be paid for, a person's word included.
    ``expiry``: for how long a video is kept whose server does not say it.

    The others bound how long an answer that may still change is asked for again: an id that the server stopped
    knowing may be replication lag, a content that is not there may be a few seconds behind its status.
    """

    replay: bool = False
    replays: int = 3
    key_life: float = 12 * 3600.0
    skew: float = 60.0
    listing: bool = False
    settle: float = 900.0
    between: float = 60.0
    resubmit_absent: bool = False
    lost_polls: int = 10
    lost_after: float = 900.0
    stuck_after: float = 6 * 3600.0
    content_after: float = 900.0
    bad_files: int = 3
    silences: int = 20
    again: frozenset[FailureKind] = frozenset()
    unbilled: frozenset[FailureKind] = frozenset()
    attempts: int = ATTEMPTS
    expiry: float | None = None


def policy(profile: Profile, *, retry: Mapping[str, Any] | None = None, resubmit_absent: bool = False) -> Policy:
    """Return the numbers for a server. ``retry`` is the manifest's."""
    retry = retry or {}
    able, doubt = profile.abilities, profile.doubt
    return Policy(
        replay=able.idempotency,
        listing=able.list,
        key_life=doubt.key_life,
        settle=doubt.settle,
        between=doubt.between,
        resubmit_absent=resubmit_absent,
        again=profile.unbilled | {FailureKind(word) for word in retry.get("on", ())},
        unbilled=profile.unbilled,
        expiry=profile.content.expiry,
        attempts=retry.get("max_attempts", ATTEMPTS),
    )
