"""What jobs are called, and the names that some gateways wrap around them. Pure."""

import base64
import binascii
from uuid import UUID

from pipeline.simulator.dialects import Ids


def made(ids: Ids, own: str, model: str) -> str:
    """Return the id of a new job from its own part, which is 32 hexadecimal digits."""
    name = f"{ids.prefix}{UUID(hex=own) if ids.uuid else own}"
    return name if ids.envelope is None else _wrapped(ids, ids.envelope, name, model)


def later(ids: Ids, video_id: str, model: str) -> str:
    """Return the id that all answers but the first one show."""
    return video_id if ids.later is None else _wrapped(ids, ids.later, inner(ids, video_id), model)


def inner(ids: Ids, video_id: str) -> str:
    """Return the name inside the envelope, which stands last in it; without an envelope, the id."""
    return video_id if ids.envelope is None else (_text(ids, video_id) or video_id).rpartition(":")[2]


def canonical(ids: Ids, asked: str) -> str:
    """Return the id as it was given out: of base64 the padding may be missing."""
    return asked if ids.envelope is None else asked + "=" * (-len(asked.removeprefix(ids.prefix)) % 4)


def is_foreign(ids: Ids, asked: str) -> bool:
    """Tell whether an id leads the gateway to another server than the one that has the job."""
    if ids.envelope is None:
        return False
    text = _text(ids, asked)
    return text is None or (ids.later is not None and text.startswith(ids.later.partition("{id}")[0]))


def _wrapped(ids: Ids, envelope: str, name: str, model: str) -> str:
    text = envelope.replace("{model}", model).replace("{id}", name)
    return f"{ids.prefix}{base64.b64encode(text.encode()).decode()}"


def _text(ids: Ids, video_id: str) -> str | None:
    """Return what is in the envelope, or None where there is none."""
    try:
        text = base64.b64decode(canonical(ids, video_id).removeprefix(ids.prefix), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text if ":" in text else None
