"""What the page says of each job, and that nothing that others wrote is markup in it."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from browser.histories import ATTACKS, BEGAN, account, history, hostile

from pipeline import events, neutral
from pipeline.jobs import Job, State
from pipeline.ledger.reading import Entry
from pipeline.report.frames import Footage, History, frames, shot_of
from pipeline.report.histories import words
from pipeline.report.page import Account, for_script, html
from pipeline.reporting import relative_url
from pipeline.summary import Status


class Read(HTMLParser):
    """The elements of a page with their attributes, and what stands in those that hold text of another language."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.within: list[tuple[str, str]] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open in {"script", "style"}:
            self.within.append((self._open, data))


def entry(at: float, kind: str, state: State, **data: object) -> Entry:
    return Entry(BEGAN + at, kind, state, data, b"")


def test_an_attack_adds_no_element_and_no_attribute() -> None:
    attacked, peaceful = Read(html(hostile("clip.mp4"))), Read(html(account(len(ATTACKS))))
    names = {name for _, attributes in attacked.elements for name in attributes}
    assert names <= {name for _, attributes in peaceful.elements for name in attributes}
    kinds = {tag for tag, _ in attacked.elements}
    assert kinds <= {tag for tag, _ in peaceful.elements}
    assert [tag for tag, _ in attacked.elements].count("script") == 2
    assert html(hostile("clip.mp4")).encode()


def test_the_policy_allows_this_script_and_this_style_and_nothing_else() -> None:
    page = Read(html(account(3)))
    (policy,) = [str(of["content"]) for tag, of in page.elements if "http-equiv" in of]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    (style,) = [text for tag, text in page.within if tag == "style"]
    data, script = [text for tag, text in page.within if tag == "script"]
    pins = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:",
        "media-src": "'self' file:",
        "style-src": f"'sha256-{pins[0]}'",
        "script-src": f"'sha256-{pins[1]}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert len(json.loads(data)["jobs"]) == 3
    assert "innerHTML" not in script
    assert not {"style", "onclick", "onload", "onerror"} & {name for _, of in page.elements for name in of}


@pytest.mark.parametrize("attack", [*ATTACKS, "</SCRIPT", "]]>", "\u2029", "&lt;"])
def test_data_is_the_same_to_the_script_and_nothing_to_a_parser(attack: str) -> None:
    text = for_script({attack: [attack]})
    assert json.loads(text) == {attack: [attack]}
    assert not set("<>&\u2028\u2029") & set(text)


def test_what_is_obeyed_is_written_out() -> None:
    told = history(0, prompt="a\tb\r\nc \u202e\x1b[31m\u200b")
    (frame,) = frames([told], {})
    assert frame["prompt"] == "a\tb\nc \\u202e\\x1b[31m\\u200b"
    assert frame["request"]["prompt"] == frame["prompt"]
    assert neutral.throughout({"\x07": ("\x07", 1, None)}) == {"\\x07": ["\\x07", 1, None]}


def test_a_page_without_jobs_says_so() -> None:
    page = html(Account(Status("empty", "/campaign", None, (), max_videos=7), None, [], {}, BEGAN))
    assert "<small>for 7 videos at the most</small>" in page
    assert "There are no jobs." in page
    assert page.count("Nothing has been sent yet.") == 2
    assert "<svg" not in page.partition("<main>")[2].partition("<script")[0]


def test_the_head_counts_what_the_manifest_asks_for() -> None:
    told = account(10)
    jobs = [replace(one.job, orphaned=number == 0) for number, one in enumerate(told.histories)]
    head = html(replace(told, status=replace(told.status, jobs=tuple(jobs)))).partition("<main>")[0]
    facts = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?) <small>", head))
    assert facts == {"Videos": "8 of 9", "Spent": "3.60 USD", "Footage": "1 min 12 s", "Orphaned": "1"}
    assert "1 moderation input" in head


def test_every_event_has_words() -> None:
    kinds = {event.__name__.lower() for event in get_args(events.Event)}
    assert len(kinds) > 20
    bare = {kind for kind in kinds if words(entry(0, kind, State.DONE)) == kind}
    assert bare == set()


def test_how_long_it_rendered_is_from_the_last_acceptance() -> None:
    job = history(0).job
    sent = [
        entry(0, "intended", State.SUBMITTING),
        entry(5, "accepted", State.SUBMITTED),
        entry(65, "completed", State.COMPLETED),
    ]
    again = [entry(900, "accepted", State.SUBMITTED), entry(1000, "completed", State.COMPLETED)]
    assert History(job, tuple(sent)).rendered == 60
    assert History(job, (*sent, *again)).rendered == 100
    assert History(job, (*sent, again[0])).rendered is None
    assert History(job, ()).rendered is None


def test_a_rejected_take_stays_beside_the_one_that_came_after() -> None:
    told = history(0)
    back = entry(99, "rejected", State.PLANNED, kept="videos/old.mp4", kept_sha256="0" * 64)
    here = {"videos/old.mp4": Footage("videos/old.mp4", "videos/old.mp4", "data:image/webp;base64,AA")}
    (frame,) = frames([History(told.job, (*told.entries, back))], here)
    assert frame["rejected"] == [
        {"path": "videos/old.mp4", "at": BEGAN + 99, "url": "videos/old.mp4", "poster": "data:image/webp;base64,AA"}
    ]
    assert frame["events"][-1][2] == "Sent back for another one; the old file is videos/old.mp4"


def test_two_jobs_of_one_name_have_two_addresses() -> None:
    told = history(0)
    other = History(replace(told.job, request_hash="f" * 64), told.entries)
    assert [frame["key"] for frame in frames([told, other], {})] == ["clip-0#1~00000000", "clip-0#1~ffffffff"]
    assert frames([told], {})[0]["key"] == "clip-0#1"


@pytest.mark.parametrize(
    ("name", "shot"),
    [("a#2", ("a", 2)), ("a@x#1#3", ("a@x#1", 3)), ("a", ("a", 1)), ("a#b", ("a#b", 1)), ("a#²", ("a#²", 1))],
)
def test_a_name_is_a_shot_and_a_take(name: str, shot: tuple[str, int]) -> None:
    assert shot_of(name) == shot


@pytest.mark.parametrize(
    ("file", "folder", "url"),
    [
        ("/c/videos/a.mp4", "/c", "videos/a.mp4"),
        ("/c/videos/a #1?100%.mp4", "/c", "videos/a%20%231%3F100%25.mp4"),
        ("/c/videos/javascript:a.mp4", "/c/videos", "javascript%3Aa.mp4"),
        ("/c/low #1/videos/a.mp4", "/reports/of/today", "../../../c/low%20%231/videos/a.mp4"),
        ("/c/é.mp4", "/c", "%C3%A9.mp4"),
        ("/c/\udcff.mp4", "/c", "%FF.mp4"),
    ],
)
def test_a_name_is_only_a_name_in_a_url(file: str, folder: str, url: str) -> None:
    assert relative_url(Path(file), Path(folder)) == url


def test_a_price_that_nobody_knows_is_no_zero() -> None:
    told = history(0)
    unknown: Job = replace(told.job, price=None)
    page = html(Account(Status("x", "/c", "USD", (unknown,)), None, [History(unknown, told.entries)], {}, BEGAN))
    assert "<dt>Spent</dt><dd>price unknown <small>for 1 job" in page
