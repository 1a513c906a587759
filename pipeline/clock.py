"""The time of a run: the wall clock as it was at the start, and from then on a clock that nobody can set.

Else a stamp from before the wall clock was set would be compared with one from after it: the server's list would be
searched at the wrong hour, a key would look too old, a job stuck.
"""

from collections.abc import Callable


def steady(wall: Callable[[], float], elapsed: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that says what ``wall`` says now, and goes on like ``elapsed``. Seconds since the epoch."""
    ahead = wall() - elapsed()
    return lambda: ahead + elapsed()
