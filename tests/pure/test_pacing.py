"""When a job is asked about: within the profile's numbers, and as the run has learned."""

from random import Random

import pytest

from pipeline.pacing import LEARNED, RECENT, Pace
from pipeline.profile import PollPace

GIVEN = PollPace(first=10, interval=2, slowest=20)


@pytest.mark.parametrize(("age", "seconds"), [(0, 2), (60, 2), (100, 3), (500, 15), (1000, 20), (1e6, 20)])
def test_between_two_polls_is_a_share_of_the_age_within_bounds(age: float, seconds: float) -> None:
    assert Pace(GIVEN).interval(age) == pytest.approx(seconds)


def test_a_young_job_waits_for_its_first_poll_and_equal_ones_drift_apart() -> None:
    pace, rng = Pace(GIVEN), Random(1)
    assert pace.until_due(4, again=False, rng=rng) == 6
    later = [pace.until_due(100, again=True, rng=rng) for _ in range(100)]
    assert 3 * 0.8 <= min(later) < 3 * 0.85
    assert 3 * 1.15 < max(later) <= 3 * 1.2
    assert min(pace.until_due(100, again=False, rng=rng) for _ in range(100)) < 0.3, "those of an earlier run at once"


def test_the_first_poll_comes_when_one_in_twenty_is_over() -> None:
    pace = Pace(GIVEN)
    for age in range(100, 100 + LEARNED - 1):
        pace.over(age)
    assert pace.first == 10, "too few to know anything"
    for age in range(100 + LEARNED - 1, 200):
        pace.over(age)
    assert pace.first == 105


def test_never_before_the_profile_says() -> None:
    pace = Pace(GIVEN)
    for _ in range(50):
        pace.over(1)
    assert pace.first == 10


def test_where_videos_become_quicker_it_is_learned_anew() -> None:
    pace = Pace(GIVEN)
    for _ in range(RECENT):
        pace.over(300)
    for _ in range(RECENT):
        pace.over(None)
    assert pace.first < 60


def test_videos_that_were_finished_at_the_first_poll_say_nothing_of_when_to_begin() -> None:
    pace = Pace(GIVEN)
    for _ in range(50):
        pace.over(None)
    for _ in range(LEARNED):
        pace.over(100)
    assert pace.first == 100
