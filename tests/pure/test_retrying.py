"""When to ask again: hints of every form, absurd ones too, and a backoff within its bounds."""

from itertools import pairwise
from random import Random

import anyio
import pytest
import trio.testing

from pipeline.retrying import backoff, repeated, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "17"}, 17),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"llm_provider-retry-after": "3"}, 3),
        ({"retry-after": "2", "llm_provider-retry-after-ms": "9000"}, 2),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"}, 30),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT", "date": "Sun, 22 Nov 2026 12:00:00 GMT"}, 0),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "date": "x"}, None),
        ({"retry-after": "9999999"}, 30 * 86400),
        *[({"retry-after": text}, None) for text in ("inf", "nan", "-1", "1e9", "", "soon", "٣", "9" * 400)],
    ],
)
def test_a_hint_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_backoff_grows_to_its_cap_and_never_falls_under_half() -> None:
    rng = Random(1)
    for attempt in range(1, 200):
        longest = min(60.0, 2.0 ** (attempt - 1))
        assert longest / 2 <= backoff(attempt, base=1, cap=60, rng=rng) <= longest


@pytest.mark.parametrize(("silences", "asked"), [(0, 1), (1, 2), (2, 3), (9, 3)])
def test_a_question_is_asked_until_it_is_answered_and_so_often_at_the_most(silences: int, asked: int) -> None:
    times: list[float] = []

    async def ask() -> int:
        times.append(anyio.current_time())
        return len(times)

    async def run() -> int:
        return await repeated(ask, lambda number: number <= silences, attempts=3, base=1, cap=20, rng=Random(1))

    assert trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0)) == asked
    assert len(times) == asked
    assert all(2**n / 2 <= after - before <= 2**n for n, (before, after) in enumerate(pairwise(times)))
