"""Names of jobs, and of their files: safe on every file system. Pure."""

import hashlib
import re
from collections.abc import Callable

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ID_RULE = "letters, digits and . _ - only, a letter or digit first, 128 at most"
MAX_PART = 200
"""Bytes of one name in a path: room for the suffix of a file that is being written."""


def job_name(job_id: str, take: int) -> str:
    """Return the name that the ledger and every command use."""
    return f"{job_id}#{take}"


def stem(name: str) -> str:
    """Return a job's name as a part of a file name."""
    return name.replace("@", "__").replace("#", "-t")


def shard(name: str) -> str:
    """Return one of 256 folders for a job's video. All takes of a job are in the same one, whatever else there is."""
    return hashlib.sha256(name.rpartition("#")[0].encode()).hexdigest()[:2]


def slug(text: str) -> str | None:
    """Return the id that is nearest to the text."""
    near = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("._-")[:128]
    return near or None


def path_fault(path: str) -> str | None:
    """Return why no video can be written to the path below ``videos/``, or None."""
    if not path.endswith(".mp4"):
        return "must end in .mp4"
    return next((why for part in path.split("/") for why, wrong in _FAULTS.items() if wrong(part)), None)


_RESERVED = re.compile(
    r"(con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])\s*(\..*)?", re.IGNORECASE
)
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\\\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
_FAULTS: dict[str, Callable[[str], object]] = {
    "must be a path below videos/, without empty parts": lambda part: not part,
    "cannot have a part that starts with . or -": lambda part: part.startswith((".", "-")),
    "cannot have a part that starts or ends with a space or ends with a dot": lambda part: (
        part != part.strip() or part.endswith(".")
    ),
    'cannot hold control characters or any of < > : " | ? * \\': _FORBIDDEN.search,
    "has a part that is a device on Windows": _RESERVED.fullmatch,
    "cannot hold {{": lambda part: "{{" in part,
    f"has a part of more than {MAX_PART} bytes": lambda part: len(part.encode()) > MAX_PART,
}
