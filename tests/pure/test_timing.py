"""How long a plan takes: by the rate, by the places at the server, and by the renders that were seen."""

import pytest

from pipeline.costs import Kind
from pipeline.timing import forecast, learned

SHORT, LONG = Kind("sora-2", "1280x720", "4"), Kind("sora-2", "1280x720", "12")


def test_what_was_seen_is_kept_by_kind_as_a_median_and_nine_of_ten() -> None:
    found = learned([(SHORT, float(seconds)) for seconds in range(100)] + [(LONG, 300.0)])
    assert (found[SHORT].median, found[SHORT].most, found[SHORT].seen) == (50.0, 90.0, 100)
    assert (found[LONG].median, found[LONG].most, found[LONG].seen) == (300.0, 300.0, 1)


@pytest.mark.parametrize(
    ("jobs", "rate", "slots", "seconds"),
    [
        (0, 60, 10, 0),
        (1, 60, 10, 100),
        (10, 60, 10, 9 + 100),  # the rate alone: one a second
        (20, 6000, 10, 2 * 100 + 9 * 0.01),  # two rounds of ten
        (30, 6, 1, 30 * 100),  # one after the other, slower than the rate
        (30, 0.1, 1, 29 * 600 + 100),  # one in ten minutes, slower than the renders
    ],
)
def test_a_plan_takes_what_the_rate_the_places_and_the_renders_allow(
    jobs: int, rate: float, slots: int, seconds: float
) -> None:
    found = forecast([SHORT] * jobs, [], learned([(SHORT, 100)]), requests_per_minute=rate, max_in_flight=slots)
    assert (found.usual, found.slow, found.unknown_jobs) == (pytest.approx(seconds), pytest.approx(seconds), 0)


def test_what_is_at_the_server_has_its_places_first() -> None:
    renders = learned([(SHORT, 100), (LONG, 300)])
    found = forecast([SHORT] * 2, [LONG] * 2, renders, requests_per_minute=6000, max_in_flight=2)
    assert found.usual == pytest.approx(400, abs=0.1)
    over = forecast([SHORT], [LONG] * 5, renders, requests_per_minute=6000, max_in_flight=2)
    assert over.usual == pytest.approx(400, abs=0.1), "a lower limit than that of the run before"


def test_slow_renders_make_a_longer_plan() -> None:
    renders = learned([(SHORT, 10.0)] * 8 + [(SHORT, 100.0)] * 2)
    found = forecast([SHORT], [], renders, requests_per_minute=60, max_in_flight=1)
    assert (found.usual, found.slow) == (10.0, 100.0)


def test_one_kind_that_was_never_seen_makes_it_unknown_but_for_the_submitting() -> None:
    found = forecast([SHORT] * 30 + [LONG], [LONG], learned([(SHORT, 1)]), requests_per_minute=30, max_in_flight=5)
    assert (found.submitting, found.usual, found.slow, found.unknown_jobs) == (60.0, None, None, 2)
