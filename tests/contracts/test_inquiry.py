"""Reading a server's list whole, whatever the server makes of being asked for the newest first."""

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any
from urllib.parse import parse_qs

import pytest

from pipeline import providers
from pipeline.client import VideosClient
from pipeline.errors import Unreachable
from pipeline.inquiry import Inquiry
from pipeline.listing import Listing

NOW = 10_000.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Lists:
    """A server with a list of videos, given by their ages, in pages of two."""

    def __init__(self, *ages: float, more: bool | None = None, stale: int = 0) -> None:
        self._ages, self._more, self._stale = ages, more, stale
        self.pages = 0

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        self.pages += 1
        after = parse_qs(scope["query_string"].decode()).get("after", ["v-1"])[0]
        first = int(after.removeprefix("v")) + 1 if self.pages > self._stale else 0
        shown = list(enumerate(self._ages))[first : first + 2]
        data = [{"id": f"v{number}", "object": "video", "created_at": NOW - age} for number, age in shown]
        more = first + 2 < len(self._ages) if self._more is None else self._more
        body = json.dumps({"data": data, "last_id": data[-1]["id"] if data else None, "has_more": more}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def whole_list(server: Lists, since: float) -> Listing:
    async def turn() -> None: ...

    async with VideosClient(
        "http://host/v1", profile=providers.profile("znapai"), key=None, downloads=1, app=server
    ) as client:
        asked = Inquiry(client, None, Random(1))
        return await asked.whole_list(since=since, turn=turn, now=lambda: NOW)


async def test_a_list_is_read_to_its_end() -> None:
    found = await whole_list(server := Lists(1, 2, 3, 4, 5), since=0.0)
    assert ([*found.videos], found.incomplete, server.pages) == ([f"v{n}" for n in range(5)], None, 3)


async def test_older_pages_than_asked_for_are_left_alone_where_the_newest_come_first() -> None:
    found = await whole_list(server := Lists(1, 2, 2000, 2001, 2002, 2003), since=NOW - 1000)
    assert (found.incomplete, server.pages) == (None, 2)


@pytest.mark.parametrize(
    "ages",
    [
        (2003, 2002, 2001, 2000, 2, 1),  # the oldest first
        (2000, 2000, 2000, 2000, 2, 1),  # nobody knows
        (2001, 2000, 1, 2000, 2002, 2),  # in no order
    ],
)
async def test_a_server_that_sorts_otherwise_hides_nothing(ages: tuple[float, ...]) -> None:
    found = await whole_list(Lists(*ages), since=NOW - 1000)
    assert {"v4", "v5"} <= found.videos.keys() or {"v2", "v5"} <= found.videos.keys()
    assert found.incomplete is None


async def test_circles_and_endless_lists_are_not_whole() -> None:
    found = await whole_list(server := Lists(1, 2, more=True, stale=99), since=0.0)
    assert found.incomplete is not None
    assert (len(found.videos), server.pages) == (2, 2)
    found = await whole_list(Lists(*range(2100), more=True), since=-1e9)
    assert found.incomplete is not None
    assert "1000 pages" in found.incomplete.message


async def test_what_is_no_list_is_no_empty_one() -> None:
    class Broken(Lists):
        async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
            headers = [(b"retry-after", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"<html>"})

    with pytest.raises(Unreachable):
        await whole_list(Broken(), since=0.0)
