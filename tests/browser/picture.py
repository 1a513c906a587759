"""Makes a campaign to look at, its page, and the picture of it that the README shows.

    python tests/browser/picture.py docs/images/report.png

Needs Chromium and playwright; rendering the videos takes a minute. With a folder as second argument the campaign is
kept there, to be looked at.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from PIL import Image

sys.path[0] = str(Path(__file__).resolve().parents[1])

from browser import campaign, chromium  # noqa: E402  # the path comes first

from pipeline.instructions import Options  # noqa: E402
from pipeline.jobs import Spec  # noqa: E402
from pipeline.reporting import report  # noqa: E402
from pipeline.simulator.studio.orders import Order  # noqa: E402
from pipeline.simulator.studio.shooting import shoot  # noqa: E402


def film(spec: Spec) -> bytes:
    wide, high = map(int, str(spec.request["size"]).split("x"))
    order = Order(spec.name, str(spec.request["prompt"]), "sora-2", (wide, high), int(str(spec.request["seconds"])))
    return shoot(order, lambda: None)


def main(picture: Path, folder: Path) -> None:
    if not (folder / "ledger.db").exists():
        campaign.shoot(folder, campaign.SHOTS, film, name="low-tide", budget=25, gap=7)
    page = Path(anyio.run(report, folder, Options(), None).page)
    with chromium.browser() as browser:
        view = browser.new_context(
            viewport={"width": 1280, "height": 1200}, color_scheme="light", offline=True
        ).new_page()
        view.goto(page.as_uri())
        view.wait_for_timeout(500)
        view.screenshot(path=picture)
    with Image.open(picture) as made:
        made.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(
            picture, optimize=True
        )
    sys.stdout.write(f"{picture}, {picture.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    target, *kept = map(Path, sys.argv[1:])
    with TemporaryDirectory() as scratch:
        main(target, kept[0] if kept else Path(scratch) / "low-tide")
