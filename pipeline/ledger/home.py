"""Where a ledger belongs. A copy must not be run beside its original, nor a backup in its place: both would pay again
for what they do not know. Pure, but for the look at the mounts.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: File systems over a network: their locks and their syncs are promises of somebody else.
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "fuse.sshfs", "fuse.davfs"})
MOUNTS = Path("/proc/self/mountinfo")
"""Where Linux says what is mounted where: mountinfo(5)."""


def moved_in(
    home: Mapping[str, Any] | None, last: Mapping[str, Any], here: Mapping[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """Return the new home of a ledger that is to be run ``here`` (``inode``, ``host`` and ``path``), and a warning.

    ``home`` is what the ledger remembers, ``last`` what the lock's last holder left. The warning, of a copy or of an
    older ledger than the folder's last run had, says what may be running elsewhere; without a person's word that it
    is not, the ledger must not be run.
    """
    generation, signed = _generation(home or {}), _generation(last)
    warning = None
    if home is not None:
        elsewhere = (home.get("host"), home.get("path")) != (here["host"], here["path"])
        if signed > generation:
            warning = (
                "this ledger is older than the last run in its folder, as from a backup: "
                "what was paid since then would be paid again"
            )
        elif elsewhere and home.get("inode") != here["inode"]:
            warning = (
                f"this ledger is a copy: it was last run as {home.get('path')} on {home.get('host')}, "
                "and if that one still runs, both pay for the same jobs"
            )
    return {**here, "generation": max(generation, signed) + 1}, warning


def was_run(last: Mapping[str, Any]) -> bool:
    """Tell whether a ledger was run in the folder whose lock's last holder left this."""
    return _generation(last) > 0


def _generation(record: Mapping[str, Any]) -> int:
    number = record.get("generation", 0)
    return number if isinstance(number, int) else 0


def remote_file_system(path: Path, mounts: Path) -> str | None:
    """Return the kind of network file system that the path lies on, or None, also where there is no such list."""
    try:
        listed = mounts.read_text("utf-8", errors="replace")
    except OSError:
        return None  # not Linux
    best, kind = "", None
    for line in listed.splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields.split()[4]) if rest else ""
        if point and path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, rest.split()[0]
    return kind if kind in _REMOTE else None
