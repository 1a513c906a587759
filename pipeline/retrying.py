"""When to ask again: backoff, the server's own hints, and the one tenacity object. Pure but for its sleep."""

import re
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, TypeVar

import anyio
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt

R = TypeVar("R")

LONGEST_HINT = 3600.0
"""Seconds. A server that asks for more is not waited for: the run stops submitting."""

_ABSURD = 30 * 86400.0


def backoff(attempt: int, *, base: float, cap: float, rng: Random) -> float:
    """Return seconds to wait before attempt+1: between half and all of ``base * 2**(attempt-1)``, at most ``cap``.

    Equal jitter, not full: full jitter's short waits hammer a per-minute limit.
    """
    longest = min(cap, base * 2.0 ** min(attempt - 1, 30))
    return longest / 2 + rng.uniform(0, longest / 2)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait, or None where it does not say.

    In order: ``retry-after-ms``, ``Retry-After`` in seconds, ``Retry-After`` as a date relative to the answer's own
    ``Date`` (never to this machine's clock). Proxies prefix the upstream's headers with ``llm_provider-``.
    """
    for prefix in ("", "llm_provider-"):
        for name, reading in _HINTS:
            seconds = reading(headers.get(prefix + name, ""), headers.get("date", ""))
            if seconds is not None:
                return min(max(seconds, 0.0), _ABSURD)
    return None


def _milliseconds(text: str, _: str) -> float | None:
    return float(text) / 1000 if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text) else None


def _seconds(text: str, _: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,6})?", text) else None


def _date(text: str, date: str) -> float | None:
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: one has a time zone and the other none
        return None


_HINTS: tuple[tuple[str, Callable[[str, str], float | None]], ...] = (
    ("retry-after-ms", _milliseconds),
    ("retry-after", _seconds),
    ("retry-after", _date),
)


async def repeated(
    ask: Callable[[], Awaitable[R]], again: Callable[[R], bool], *, attempts: int, base: float, cap: float, rng: Random
) -> R:
    """Ask a harmless thing until ``again`` says no of its result, waiting between as ``backoff`` says.

    Returns the last result; it never raises for having tried often enough. Never used for a POST.
    """
    first = await ask()
    if not again(first):  # mostly; what follows costs as much as half a request
        return first
    results = [first]

    async def next_result() -> R:
        return results.pop() if results else await ask()

    def wait(state: RetryCallState) -> float:
        hint = getattr(state.outcome and state.outcome.result(), "retry_after", None)
        own = backoff(state.attempt_number, base=base, cap=cap, rng=rng)
        return own if hint is None else min(float(hint), LONGEST_HINT)

    def last(state: RetryCallState) -> Any:
        return state.outcome and state.outcome.result()

    retrying = AsyncRetrying(
        sleep=anyio.sleep,
        retry=retry_if_result(again),
        wait=wait,
        stop=stop_after_attempt(attempts),
        retry_error_callback=last,
    )
    return await retrying(next_result)
