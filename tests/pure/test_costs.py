"""What a plan costs, what a budget holds of it, and what has been agreed to."""

import pytest

from pipeline.costs import Account, Agreed, Kind, estimate


def request(size: str = "1280x720", seconds: str = "4") -> dict[str, str]:
    return {"model": "sora-2", "size": size, "seconds": seconds}


def test_an_estimate_has_a_group_for_each_kind_and_keeps_the_unknown_apart() -> None:
    prices = {"4": 0.4, "8": 0.8}
    asked = [*[request()] * 2, request(seconds="8"), *[request(seconds="12")] * 3]
    found = estimate(asked, lambda one: prices.get(one["seconds"]), "USD")
    assert found.groups == (
        (Kind("sora-2", "1280x720", "12"), 3, None),
        (Kind("sora-2", "1280x720", "4"), 2, 0.4),
        (Kind("sora-2", "1280x720", "8"), 1, 0.8),
    )
    assert [group.cost for group in found.groups] == [None, 0.8, 0.8]
    assert (found.cost, found.unknown_price_jobs, found.jobs) == (pytest.approx(1.6), 3, 6)


@pytest.mark.parametrize(("price", "free"), [(0.0, True), (0.1, False), (None, False)])
def test_what_nobody_knows_the_price_of_is_not_free(price: float | None, free: bool) -> None:
    assert estimate([request()], lambda one: price, "USD").is_free is free


@pytest.mark.parametrize(
    ("account", "prices", "held"),
    [
        (Account(), [1.2] * 5, 5),
        (Account(max_cost=10), [1.2] * 30, 8),
        (Account(reserved=2.4, max_cost=10), [1.2] * 30, 6),
        (Account(max_cost=0.3), [0.1] * 3, 3),  # 0.1 + 0.1 + 0.1 > 0.3
        (Account(max_cost=10), [1.2, None, 1.2], 1),
        (Account(max_videos=2), [None] * 5, 2),
        (Account(videos=1, max_videos=2), [1.2] * 5, 1),
        (Account(videos=3, max_videos=2), [1.2] * 5, 0),
        (Account(max_cost=2.4, max_videos=5), [1.2] * 5, 2),
    ],
)
def test_a_budget_holds_what_comes_before_the_first_that_is_beyond_it(
    account: Account, prices: list[float | None], held: int
) -> None:
    assert account.holds(prices) == held


def test_what_is_left_of_a_budget_is_never_less_than_nothing() -> None:
    assert Account(reserved=3.0, videos=2, max_cost=10, max_videos=5)[2:] == (10, 5)
    found = Account(reserved=3.0, videos=7, max_cost=10, max_videos=5)
    assert (found.left, found.videos_left, Account().left, Account().videos_left) == (7.0, 0, None, None)


def test_a_run_that_goes_on_asks_for_no_more_than_was_agreed_to() -> None:
    whole = Agreed.to(Account(), estimate([request()] * 10, lambda one: 0.4, "USD"))
    rest = Agreed.to(Account(reserved=2.4, videos=6), estimate([request()] * 4, lambda one: 0.4, "USD"))
    assert whole.covers(rest, and_above=0, unknown=False)
    more = Agreed.to(Account(reserved=4.0, videos=10), estimate([request()], lambda one: 0.4, "USD"))
    assert not whole.covers(more, and_above=0, unknown=False)
    assert whole.covers(more, and_above=0.4, unknown=False)
    assert not whole.covers(more, and_above=0.4, unknown=True), "of what nobody knows the price, videos are counted"
    assert not Agreed().covers(Agreed(0.01, 1), and_above=0, unknown=False)


def test_a_sum_in_another_order_is_no_more_than_was_agreed_to() -> None:
    asked, spent = [request()] * 50_000, 0.0
    for _ in asked:
        spent += 0.4  # as the ledger adds; a plan multiplies
    whole = Agreed.to(Account(), estimate(asked * 2, lambda one: 0.4, "USD"))
    for half in (spent, 20_000 - (spent - 20_000)):
        rest = Agreed.to(Account(reserved=half, videos=50_000), estimate(asked, lambda one: 0.4, "USD"))
        assert rest.cost != whole.cost
        assert whole.covers(rest, and_above=0, unknown=False)
