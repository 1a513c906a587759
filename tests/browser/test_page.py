"""The page of a campaign, in a browser, from the disk, without a network: what a person does with it.

The fixture ``look`` holds for every test here that nothing but files was asked for, and that nothing was complained
about: no violation of the page's policy, no error of its script, no dialog.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest
from browser.histories import ATTACKS, account

if TYPE_CHECKING:
    from browser.conftest import Look, Pages
    from playwright.sync_api import Page

SHOWN = ".take:not(.rejected):not([hidden])"
VIEWS = {
    390: ("", "#view=run", "#job=night-market%232", "#job=signal-box%231"),
    900: ("",),
    1440: ("", "#view=run", "#job=night-market%232"),
}
FIRST = "harbour-dawn, take 1, done, picked"


def shown(page: Page) -> int:
    """How many takes can be seen, when scrolled to."""
    return int(
        page.evaluate("s => [...document.querySelectorAll(s)].filter(n => !n.closest('[hidden]')).length", SHOWN)
    )


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id"))


def plays(page: Page, film: str) -> None:
    """Wait until a video has advanced."""
    page.wait_for_function("s => document.querySelector(s)?.currentTime > 0.1", arg=film)


# ---- for everybody


@pytest.mark.parametrize("width", VIEWS)
def test_axe_finds_nothing(look: Look, pages: Pages, width: int) -> None:
    engine = resources.files(pytest.importorskip("axe_playwright_python")) / "axe.min.js"
    page = look(pages.sheet, width=width)
    page.evaluate(engine.read_text("utf-8"))
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for view in VIEWS[width]:
            page.evaluate("to => { location.hash = to }", view)
            page.wait_for_timeout(50)
            found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
            said = [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]
            assert (scheme, view, said) == (scheme, view, [])
            assert len(found["passes"]) > 10
            page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [390, 900, 1440])
def test_nothing_is_wider_than_the_window(look: Look, pages: Pages, width: int) -> None:
    for path in (pages.sheet, pages.hostile):
        page = look(path, width=width)
        for view in ("", "#view=run"):
            page.evaluate("to => { location.hash = to }", view)
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_goes_everywhere(look: Look, pages: Pages) -> None:
    page = look(pages.sheet)
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    page.keyboard.press("Enter")
    assert focused(page) == "sheet"
    for _ in range(5):  # four selects, then the frames
        page.keyboard.press("Tab")
    assert focused(page) == FIRST
    plays(page, ".frame.playing video")
    page.keyboard.press("ArrowRight")
    assert focused(page) == "harbour-dawn, take 2, done"
    page.keyboard.press("End")
    assert focused(page) == "credits, take 1, planned"
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog", name="harbour-dawn take 1").is_visible()
    assert focused(page) == "job-h"
    for _ in range(12):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.querySelector('dialog').contains(document.activeElement) || !document.hasFocus()"
            " || document.activeElement === document.body"
        )
    page.evaluate("document.querySelector('#job-h').focus()")
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("dialog", name="harbour-dawn take 2").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    assert focused(page) == "harbour-dawn, take 2, done"
    page.keyboard.press("/")
    assert focused(page) == "q"


def test_a_screen_reader_hears_what_there_is(look: Look, pages: Pages) -> None:
    page = look(pages.sheet)
    assert page.get_by_role("heading", level=1, name="low-tide").is_visible()
    assert page.get_by_role("link", name=FIRST).is_visible()
    assert page.get_by_role("status").inner_text() == "21 takes, 15 shots"
    page.get_by_role("searchbox", name="Search names, prompts and tags").fill("tram")
    page.wait_for_function("() => document.querySelector('[role=status]').innerText === '2 of 21 takes, 1 shot'")
    page.get_by_role("link", name="The run").click()
    assert page.get_by_role("img", name="Progress").get_attribute("aria-labelledby") == "progress-t progress-d"
    page.get_by_text("The numbers of “Errors by class”").click()
    assert page.get_by_role("cell", name="moderation input").is_visible()


def test_without_motion_nothing_plays_until_it_is_told(look: Look, pages: Pages) -> None:
    page = look(pages.sheet, reduced_motion="reduce")
    page.get_by_role("link", name=FIRST).hover()
    page.wait_for_timeout(250)
    assert page.locator(".playing").count() == 0
    button = page.get_by_role("button", name="Play harbour-dawn, take 1")
    button.click()
    plays(page, ".frame.playing video")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert page.locator("video").count() == 0


def test_a_finger_has_buttons(look: Look, pages: Pages) -> None:
    page = look(pages.sheet, width=390, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Play harbour-dawn, take 1").tap()
    plays(page, ".frame.playing video")
    page.get_by_role("link", name=FIRST).tap()
    assert page.get_by_role("dialog", name="harbour-dawn take 1").is_visible()


def test_without_a_script_the_numbers_are_there(look: Look, pages: Pages) -> None:
    page = look(pages.sheet, java_script_enabled=False)
    assert page.get_by_role("definition").get_by_text("14 of 21").is_visible()
    assert page.get_by_role("heading", name="Render time by size and length").is_visible()
    assert page.locator("noscript > p").is_visible()


# ---- to look at


def test_a_video_plays_where_the_mouse_is(look: Look, pages: Pages) -> None:
    page = look(pages.sheet)
    page.get_by_role("link", name=FIRST).hover()
    plays(page, f'.frame.playing[aria-label="{FIRST}"] video')
    page.get_by_role("link", name="tram-rain, take 1, done").hover()
    plays(page, '.frame.playing[aria-label="tram-rain, take 1, done"] video')
    assert page.locator("video").count() == 1
    page.get_by_role("link", name="tram-rain, take 1, done").click()
    plays(page, "dialog video[controls]")
    assert page.locator("video").count() == 1


def test_takes_stand_side_by_side_and_say_what_became_of_them(look: Look, pages: Pages) -> None:
    page = look(pages.sheet)
    shot = page.locator(".shot", has_text="night-market")
    frames = [frame.get_attribute("aria-label") for frame in shot.locator(".frame").all()]
    earlier = "night-market, take 2, an earlier one that was rejected"
    assert frames == ["night-market, take 1, done", "night-market, take 2, done", earlier]
    assert len({round(take.bounding_box()["y"]) for take in shot.locator(".take").all()}) == 1
    assert page.locator(".take.picked").count() == 3


def test_a_job_tells_its_story_under_an_address(look: Look, pages: Pages) -> None:
    page = look(pages.sheet, "#job=likeness%231")
    said = page.get_by_role("dialog", name="likeness take 1").inner_text()
    for words in (
        "This prompt may show a real person's likeness, which our policy does not allow.",
        "Change the prompt or the image: the same ones will be refused again.",
        "HTTP 400",
        "Attempt 1 is about to be sent, for 0.40",
        '"prompt": "The mayor of the town',
    ):
        assert words in said
    page.keyboard.press("Escape")
    page.get_by_role("link", name="cellist, take 1").click()
    assert "#job=cellist%231" in page.url
    said = page.get_by_role("dialog").inner_text()
    assert re.search(r"SHA-256\s+[0-9a-f]{64}", said)
    assert re.search(r"Cost\s+1\.20 USD", said)
    page.go_back()
    assert not page.get_by_role("dialog").is_visible()


def test_a_thousand_frames_scroll_and_are_found(look: Look, pages: Pages) -> None:
    jobs = [history.job for history in account(1000).histories]
    page = look(pages.thousand)
    assert page.get_by_role("status").inner_text() == "1,000 frames"
    assert shown(page) == 1000
    drawn = page.locator(".frame img[src]").count()
    assert 8 <= drawn < 120, "the frames near the window have their pictures, the others wait"
    for _ in range(12):
        page.mouse.wheel(0, 2500)
        page.wait_for_timeout(20)
    assert page.locator(".frame img[src]").count() > drawn
    page.keyboard.press("End")
    page.wait_for_function("() => [...document.querySelectorAll('.frame img')].at(-1).naturalWidth === 320")
    assert page.locator("video").count() == 0

    search = page.get_by_role("searchbox")
    search.fill("harbour")
    page.wait_for_function("() => /^143 of/.test(document.querySelector('[role=status]').innerText)")
    harbours = [job for job in jobs if "harbour" in str(job.request["prompt"])]
    assert shown(page) == len(harbours)
    page.get_by_role("button", name="failed").click()
    assert shown(page) == sum(job.state == "failed" for job in harbours)
    search.fill("no such thing")
    page.get_by_role("button", name="Show all frames").click()
    assert shown(page) == 1000
    page.get_by_label("Tag", exact=True).select_option("desert")
    page.get_by_label("Size", exact=True).select_option("720x1280")
    wanted = [job for job in jobs if "desert" in job.tags and job.request["size"] == "720x1280"]
    assert shown(page) == len(wanted) > 0
    page.get_by_label("Order").select_option("slowest")
    page.reload()
    assert shown(page) == len(wanted), "what was asked for stands in the address"
    order = page.locator(f".shot:not([hidden]) {SHOWN} .frame").evaluate_all(
        "all => all.map(one => one.job.rendered || -1)"
    )
    assert order == sorted(order, reverse=True)


def test_without_thumbnails_the_videos_show_themselves(look: Look, pages: Pages) -> None:
    page = look(pages.bare)
    page.wait_for_function("() => document.querySelector('.frame video')?.readyState >= 2")
    assert 8 <= page.locator("video").count() < 40
    page.mouse.wheel(0, 100_000)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.take:not(:has(.leader)) .frame')].at(-1).querySelector('video')"
    )
    assert page.locator(".take >> nth=0").locator("video").count() == 0, "what has gone out of sight is let go"


# ---- whatever others wrote


def test_what_others_wrote_is_text(look: Look, pages: Pages) -> None:
    page = look(pages.hostile)
    assert page.locator("script").count() == 2
    foreign = (
        "iframe, object, embed, link, base, body style, meta[http-equiv=refresh], [onerror], [onload], [onmouseover]"
    )
    keys: list[str] = page.evaluate("[...document.querySelectorAll('.frame')].map(frame => frame.job.key)")
    assert len(keys) == len(ATTACKS)
    for key in keys:
        page.evaluate("key => { location.hash = 'job=' + encodeURIComponent(key) }", key)
        page.wait_for_function("() => document.querySelector('dialog').open")
        assert page.locator(foreign).count() == 0
        assert page.locator("body img:not([alt=''])").count() == 0
        said: list[Any] = page.evaluate(
            "[...document.querySelectorAll('a[href], video[src]')].map(n => n.href || n.src)"
        )
        assert [url for url in said if not url.startswith("file:")] == []
    page.keyboard.press("Escape")
    for attack in ATTACKS[:-1]:
        assert page.locator(".prompt", has_text=re.compile(f"^{re.escape(attack)}$")).count() == 1
    assert "\\u202egnp.exe\\u2028\\x00\\x1b[31m\\ud800" in (page.locator(".shots").text_content() or "")
    assert page.title().startswith(ATTACKS[0])


def test_the_policy_would_stop_what_slipped_through(look: Look, pages: Pages, browser: Any) -> None:
    page = browser.new_context(offline=True).new_page()
    stopped: list[tuple[str, str]] = []
    page.on("requestfailed", lambda request: stopped.append((request.url, request.failure)))
    page.goto(pages.hostile.as_uri())
    page.evaluate("""() => {
      document.body.insertAdjacentHTML("beforeend", "<img src=https://example.com/a.png onerror='window.ran = true'>");
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
    }""")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    assert stopped == [("https://example.com/a.png", "csp")]
    page.context.close()


# ---- on paper


def test_it_prints_with_every_picture_and_all_charts(look: Look, pages: Pages) -> None:
    page = look(pages.sheet)
    waiting = page.locator(".frame img:not([src])").count()
    assert waiting > 0
    printed = page.pdf(format="A4")
    assert page.locator(".frame img:not([src])").count() == 0
    posters = page.locator(".frame img").count()
    assert printed.count(b"/Subtype /Image") >= posters == 15
    page.emulate_media(media="print")
    assert page.get_by_role("heading", name="Errors by class").is_visible()
    assert not page.get_by_role("searchbox").is_visible()
