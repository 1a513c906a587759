"""A browser, and pages to look at. Skips where there is no browser: the tests install none."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from browser.campaign import SHOTS, shoot
from browser.histories import account, hostile

from pipeline.instructions import Options
from pipeline.jobs import Spec
from pipeline.report.page import html
from pipeline.reporting import report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass(frozen=True)
class Pages:
    """``sheet``: a campaign with takes, picks, a rejected take and every kind of trouble, in a folder with a name.

    ``thousand``: a thousand jobs with thumbnails. ``bare``: sixty jobs without, whose videos are there.
    ``hostile``: whatever comes from outside is an attack.
    """

    sheet: Path
    thousand: Path
    bare: Path
    hostile: Path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from browser import chromium  # noqa: PLC0415  # needs playwright

    from pipeline.simulator.studio.shooting import stock  # noqa: PLC0415  # slow to import

    if not Path(chromium.PROGRAM).exists():
        pytest.skip("there is no Chromium")
    folder = tmp_path_factory.mktemp("shared")
    clips = {"1280x720": stock((320, 180), 4), "720x1280": stock((180, 320), 4)}

    def film(spec: Spec) -> bytes:
        """Each job's own video: one small clip, with the job's name behind it."""
        name = spec.name.encode()
        return clips[str(spec.request["size"])] + (8 + len(name)).to_bytes(4, "big") + b"free" + name

    campaign = folder / "low #1? 100% 'tide' & \"co\""
    shoot(campaign, SHOTS, film, name="low-tide", budget=25, gap=7)
    (folder / "clip.mp4").write_bytes(clips["1280x720"])
    made = {
        "thousand": account(1000),
        "bare": account(60, bare=True),
        "hostile": hostile("clip.mp4"),
    }
    for name, told in made.items():
        (folder / f"{name}.html").write_text(html(told), "utf-8")
    return Pages(
        Path(anyio.run(report, campaign, Options(), None).page), **{name: folder / f"{name}.html" for name in made}
    )


@pytest.fixture(scope="module")
def browser(pages: Pages) -> "Iterator[Browser]":
    """Playwright holds this thread's event loop until it is closed: every page is made before it begins."""
    assert pages
    from browser import chromium  # noqa: PLC0415  # needs playwright

    with chromium.browser() as opened:
        yield opened


@dataclass
class Watched:
    """A page, and what it did that it must not do."""

    page: "Page"
    wrong: list[str] = field(default_factory=list)


Look = Callable[..., "Page"]


@pytest.fixture
def look(browser: "Browser") -> Iterator[Look]:
    """Open a page of a file, in a context without a network. At the end it has asked for files, without a complaint."""
    seen: list[Watched] = []
    with ExitStack() as stack:

        def open_page(
            path: Path, fragment: str = "", *, width: int = 1280, scheme: Any = "light", **more: Any
        ) -> "Page":
            viewport = {"width": width, "height": 800}
            context = browser.new_context(viewport=viewport, color_scheme=scheme, offline=True, **more)
            stack.callback(context.close)
            watched = Watched(context.new_page())
            seen.append(watched)
            page, wrong = watched.page, watched.wrong
            page.set_default_timeout(10_000)
            page.on("console", lambda message: wrong.append(f"console {message.type}: {message.text}"))
            page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
            page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            page.on("popup", lambda popup: wrong.append(f"popup: {popup.url}"))
            page.on("request", lambda asked: None if asked.url[:5] in {"file:", "data:"} else wrong.append(asked.url))
            page.goto(f"{path.as_uri()}{fragment}")
            return page

        yield open_page
        for watched in seen:
            assert watched.wrong == []
