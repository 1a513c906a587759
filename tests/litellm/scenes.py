"""What is tried through a gateway, and what must come of it: data, and nothing that acts.

What differs between versions of LiteLLM is written as a mapping from the version; ``ANY`` is all the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OLD = "1.81.10"
ANY = ""

OPENAI, AZURE = "openai", "azure"
DEPLOYMENTS = (OPENAI, AZURE)
"""Kinds of deployment: LiteLLM's own words, before the slash of a model's name."""

MODEL = "sora-2"
STRANGER = "sora-2-pro"
"""The gateway has this model with a key that its upstream does not know."""


@dataclass(frozen=True)
class Job:
    """A job of the campaign. ``first``: the status that the gateway gives the first request of this kind about it."""

    prompt: str
    asked: str = ""
    first: Mapping[str, int] = field(default_factory=dict)
    size: str = "1280x720"


JOBS = (
    Job("A paper boat on a still lake"),
    Job("A portrait of a lighthouse", size="720x1280"),
    Job("A crowd before a closed gate", "create", {ANY: 429}),
    Job("A runner who is about to stumble", "status", {ANY: 500}),
    Job("A harbour in the mist", "status", {OLD: 500, ANY: 404}),
    Job("An early bird on a wire", "content", {OLD: 200, ANY: 404}),
    Job("A pair of scissors and a ribbon", "content", {OLD: 200, ANY: 500}),
)


@dataclass(frozen=True)
class Expected:
    """What a job comes to. ``exit`` is the run's, ``billed`` the lines on the bill.

    ``says``: what the message begins with that a person is shown.
    """

    exit: int
    state: str
    kind: str | None = None
    param: str | None = None
    says: str = ""
    billed: int = 0


DONE = Expected(0, "done", billed=1)


@dataclass(frozen=True)
class Scene:
    """One job that goes wrong. ``fields`` and ``variables`` make a profile that lets the wrong thing be sent.

    It is for the versions that something is expected of. ``as_content_policy``: before which kinds of deployment the
    gateway calls its refusal a ContentPolicyViolationError, whatever it is.
    """

    name: str
    expected: Mapping[str, Expected]
    prompt: str = "A bicycle in the rain"
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    model: str = MODEL
    knows_key: bool = True
    as_content_policy: Mapping[str, Sequence[str]] = field(default_factory=lambda: {ANY: ()})


_DISGUISED = {OLD: (AZURE,), ANY: ()}
_INTEGER = {"seconds": {"type": "integer"}}
_SECONDS = Expected(1, "failed", "invalid_request", "seconds", "Invalid type for 'seconds'")

SCENES = (
    Scene("integer seconds, 4", {OLD: _SECONDS, ANY: DONE}, fields=_INTEGER, as_content_policy=_DISGUISED),
    Scene(
        "integer seconds, 5",
        {OLD: _SECONDS, ANY: Expected(1, "failed", "invalid_request", "seconds", "Invalid value: '5'")},
        fields=_INTEGER,
        variables={"seconds": "5"},
        as_content_policy=_DISGUISED,
    ),
    Scene(
        "`duration`",
        {ANY: Expected(1, "failed", "invalid_request", "duration", "Unknown parameter: 'duration'")},
        fields={"seconds": {"name": "duration"}},
        as_content_policy=_DISGUISED,
    ),
    Scene(
        "1920x1080",
        {ANY: Expected(1, "failed", "invalid_request", "size", "Invalid value: '1920x1080'")},
        variables={"size": "1920x1080"},
        as_content_policy=_DISGUISED,
    ),
    Scene("a wrong key", {ANY: Expected(4, "planned", "auth", None, "No connected db")}, knows_key=False),
    Scene(
        "the gateway's own key is wrong",
        {ANY: Expected(4, "planned", "auth", None, "Incorrect API key provided")},
        model=STRANGER,
        as_content_policy=_DISGUISED,
    ),
    Scene(
        "an empty account",
        {ANY: Expected(4, "planned", "quota_exhausted", None, "You exceeded your current quota")},
        prompt="A purse of an empty account",
    ),
    Scene(
        "a moderation block",
        {ANY: Expected(1, "failed", "moderation_input", None, "Your request was rejected by the safety system.")},
        prompt="A forbidden thing",
        as_content_policy=_DISGUISED,
    ),
    Scene(
        "a moderation block by another code",
        {ANY: Expected(1, "failed", "moderation_input", None, "What was asked for may break our rules.")},
        prompt="A forbidden word",
        as_content_policy={ANY: DEPLOYMENTS},
    ),
    Scene(
        "a moderation block, later",
        {
            ANY: Expected(
                1, "failed", "moderation_output", None, "Your request was blocked by our moderation system.", billed=1
            )
        },
        prompt="A forbidden picture",
    ),
    Scene(
        "billed, and answered with 502",
        {ANY: Expected(3, "held", "ambiguous", None, "502 Bad Gateway", billed=1)},
        prompt="A letter and its lost answer",
    ),
    Scene(
        "content that is always cut",
        {OLD: Expected(69, "completed", billed=1)},  # the others say 500, and that is asked again for half an hour
        prompt="A film that is always cut",
    ),
)


def of(by_version: Mapping[str, Any], version: str) -> Any:
    """Return what a mapping from versions has for this one; None where it has nothing."""
    return by_version.get(version, by_version.get(ANY))
