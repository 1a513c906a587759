"""The time of a run: the wall clock as it was at the start, and from then on a clock that nobody can set.

Else a stamp from before the wall clock was set would be compared with one from after it: the server's list would be
searched at the wrong hour, a key would look too old, a job stuck.
"""

import time
from collections.abc import Callable


def steady(wall: Callable[[], float], elapsed: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that says what ``wall`` says now, and goes on like ``elapsed``. Seconds since the epoch."""
    ahead = wall() - elapsed()
    return lambda: ahead + elapsed()


def utc(seconds: float | None) -> str | None:
    """Return an instant as ISO 8601 in UTC, to the millisecond; a number that is none, as it is."""
    if seconds is None:
        return None
    try:
        whole, parts = divmod(round(seconds * 1000), 1000)
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{parts:03}Z"
    except (ValueError, OverflowError, OSError):
        return str(seconds)
