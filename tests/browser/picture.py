"""Makes a campaign to look at, its page, and the picture of it that the README shows.

    python tests/browser/picture.py docs/images/report.png

Needs Chromium and playwright; rendering the videos takes a minute or two. With a folder as second argument the campaign is
kept there, to be looked at.
"""

import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import campaign
import chromium
from campaign import Shot
from PIL import Image

from pipeline.jobs import Spec
from pipeline.preparation import Options
from pipeline.reporting import report
from pipeline.simulator.studio.orders import Order
from pipeline.simulator.studio.shooting import shoot

WIDE, TALL = "1280x720", "720x1280"
SHOTS = [
    Shot("harbour-dawn", "Fog lifts off a small harbour at dawn; a fishing boat slides between the moored hulls and its wake rocks the lanterns. Slow push in, 35 mm, cool light turning gold.", "dd", tags=("hero",)),
    Shot("tram-rain", "A yellow tram climbs a steep street in the rain, windows glowing; the camera walks beside it and the cobbles mirror everything.", "ds", tags=("hero", "city"), seconds="8"),
    Shot("greenhouse", "Inside a winter greenhouse at night: snow falls outside the panes, orchids lean into warm lamps, one drop runs down the glass.", "d", tags=("hero",)),
    Shot("night-market", "A night market from above, steam and paper lamps; the crane comes down through the steam to a pair of hands folding dumplings.", "dd", TALL, tags=("social", "city")),
    Shot("desert-radio", "A radio on a camp table in the desert after sunset, dial lit green; wind moves the tent, stars come out one after another.", "d"),
    Shot("tide-pool", "Macro of a tide pool as the sea returns: anemones open, a hermit crab changes its mind, light ripples over stone.", "d", tags=("nature",)),
    Shot("paper-whale", "Stop-motion: a whale of folded blue paper swims through a city of books; pages turn where its tail passes.", "dx", tags=("hero",)),
    Shot("glacier", "A glacier calves in silence, seen from a kayak; the wave arrives as a long slow breath.", "d", seconds="8", tags=("nature",)),
    Shot("likeness", "The mayor of the town waves from the balcony of the old theatre.", "x", tags=("city",)),
    Shot("cellist", "A cellist rehearses alone in an empty swimming bath; the bow draws light across the tiles.", "dr", tags=("hero",), seconds="12"),
    Shot("foxglove", "Time-lapse: a foxglove opens from the lowest bell to the highest while clouds run over the hill.", "d", TALL, tags=("nature", "social")),
    Shot("signal-box", "An old signal box in the mountains at dusk; a train passes and every lever trembles.", "f"),
    Shot("ferry", "A ferry crosses black water toward a lit town; gulls hang beside the rail as if on strings.", "h", tags=("city",)),
    Shot("orchard", "Wind goes through an orchard in blossom, row after row, and the petals follow it.", "r", tags=("nature",)),
    Shot("credits", "Empty cinema after the last show; one bulb left burning, dust turning in its light.", "p", price=None),
]  # fmt: skip


def film(spec: Spec) -> bytes:
    wide, high = map(int, str(spec.request["size"]).split("x"))
    order = Order(spec.name, str(spec.request["prompt"]), "sora-2", (wide, high), int(str(spec.request["seconds"])))
    return shoot(order, lambda: None)


def main(picture: Path, folder: Path) -> None:
    if not (folder / "ledger.db").exists():
        campaign.shoot(folder, SHOTS, film, name="low-tide", budget=25, gap=7)
    page = Path(report(folder, Options(), None).page)
    with chromium.browser() as browser:
        view = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light", offline=True).new_page()
        view.goto(page.as_uri())
        view.wait_for_timeout(500)
        view.screenshot(path=picture)
    with Image.open(picture) as made:
        made.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(picture, optimize=True)
    print(picture, picture.stat().st_size, "bytes")


if __name__ == "__main__":
    target, *kept = map(Path, sys.argv[1:])
    with TemporaryDirectory() as scratch:
        main(target, kept[0] if kept else Path(scratch) / "low-tide")
