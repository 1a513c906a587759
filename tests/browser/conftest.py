"""A browser for each worker, and pages to look at. Skips where there is no browser; the tests install none."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from browser.campaign import SHOTS, shoot
from browser.histories import account
from playwright.sync_api import Browser, Page

from pipeline.jobs import Spec
from pipeline.preparation import Options
from pipeline.report.page import html
from pipeline.reporting import report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not Path(chromium.PROGRAM).exists():
        pytest.skip("there is no Chromium")
    with chromium.browser() as opened:
        yield opened


@dataclass
class Watched:
    """A page, and what it did that it must not do."""

    page: Page
    wrong: list[str] = field(default_factory=list)


Look = Callable[..., Page]


@pytest.fixture
def look(browser: Browser) -> Iterator[Look]:
    """Open a page of a file, in a context without a network. At the end it has asked for files, without a complaint."""
    seen: list[Watched] = []
    with ExitStack() as stack:

        def open_page(path: Path, fragment: str = "", *, width: int = 1280, scheme: Any = "light", **more: Any) -> Page:
            context = browser.new_context(
                viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True, **more
            )
            stack.callback(context.close)
            watched = Watched(context.new_page())
            seen.append(watched)
            page, wrong = watched.page, watched.wrong
            page.set_default_timeout(10_000)
            page.on("console", lambda message: wrong.append(f"console {message.type}: {message.text}"))
            page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
            page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
            page.on("request", lambda asked: None if asked.url[:5] in {"file:", "data:"} else wrong.append(asked.url))
            page.goto(f"{path.as_uri()}{fragment}")
            return page

        yield open_page
        for watched in seen:
            assert watched.wrong == []


@pytest.fixture(scope="session")
def film() -> Callable[[Spec], bytes]:
    """Each job's own video: one small clip, with the job's name behind it."""
    from pipeline.simulator.studio.shooting import stock  # noqa: PLC0415  # slow to import

    clips = {"1280x720": stock((320, 180), 4), "720x1280": stock((180, 320), 4)}

    def made(spec: Spec) -> bytes:
        name = spec.name.encode()
        return clips[str(spec.request["size"])] + (8 + len(name)).to_bytes(4, "big") + b"free" + name

    return made


@pytest.fixture(scope="session")
def sheet(tmp_path_factory: pytest.TempPathFactory, film: Callable[[Spec], bytes]) -> Path:
    """The page of a campaign with takes, picks, a rejected take, and every kind of trouble, in a folder with a name."""
    folder = tmp_path_factory.mktemp("shared") / "low #1? 100% 'tide' & \"co\""
    shoot(folder, SHOTS, film, name="low-tide", budget=25, gap=7)
    return Path(report(folder, Options(), None).page)


@pytest.fixture(scope="session")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a thousand jobs with thumbnails."""
    path = tmp_path_factory.mktemp("thousand") / "report.html"
    path.write_text(html(account(1000)), "utf-8")
    return path
