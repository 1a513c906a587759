"""How long a report takes, how large it is, and how its page behaves with so many jobs.

    python tests/browser/measure.py 1000
    python tests/browser/measure.py 10000 bare

The videos are 1280x720 and 4 seconds long. With ``bare`` there are no thumbnails, as without the extra. The page is
opened in Chromium, filtered once, and scrolled from top to bottom.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT / "tests")

from browser import chromium  # noqa: E402  # the path comes first
from browser.campaign import Shot, shoot  # noqa: E402

from pipeline.jobs import Spec  # noqa: E402
from pipeline.simulator.studio.shooting import stock  # noqa: E402

WITHOUT = "import sys; sys.modules['av'] = None; "
CALL = "from pipeline.cli import main; sys.exit(main(sys.argv[1:]))"

SCROLL = """async () => {
  const slow = [];
  let before = performance.now();
  const end = document.documentElement.scrollHeight;
  for (let y = 0; y < Math.min(end, 60000); y += 120) {
    scrollTo(0, y);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    slow.push(now - before);
    before = now;
  }
  slow.sort((a, b) => a - b);
  return [slow[slow.length >> 1], slow[Math.floor(slow.length * 0.99)], slow.at(-1), slow.length];
}"""
FILTER = """() => {
  const began = performance.now();
  location.replace('#q=river');
  return new Promise(done => addEventListener('hashchange', () => requestAnimationFrame(
    () => requestAnimationFrame(() => done(performance.now() - began))), { once: true }));
}"""


def tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(count: int, bare: bool, folder: Path) -> None:
    clip = stock((1280, 720), 4)

    def film(spec: Spec) -> bytes:
        return clip + (8 + len(spec.name)).to_bytes(4, "big") + b"free" + spec.name.encode()

    words = ("river", "harbour", "orchard", "glacier", "station", "market", "desert")
    shots = [Shot(f"clip-{one}", f"Shot {one}: a {words[one % 7]} at dusk, slow camera.", "d") for one in range(count)]
    shoot(folder, shots, film, name="many")
    arguments = [sys.executable, "-c", (WITHOUT if bare else "import sys; ") + CALL, "report", str(folder)]
    for time_of in ("first", "next"):
        began = time.perf_counter()
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        tell(f"{time_of} report of {count:,} jobs: {time.perf_counter() - began:.1f} s")
    page = folder / "report.html"
    tell(f"the page: {page.stat().st_size:,} bytes")
    with chromium.browser() as browser:
        view = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True).new_page()
        began = time.perf_counter()
        view.goto(page.as_uri())
        view.locator("#count", has_text=f"{count:,}").wait_for()
        tell(f"opened in {time.perf_counter() - began:.2f} s")
        middle, late, last, frames = view.evaluate(SCROLL)
        tell(
            f"scrolled {frames} steps: {middle:.0f} ms in the middle, 99 % within {late:.0f} ms, at most {last:.0f} ms"
        )
        tell(f"searched and drawn in {view.evaluate(FILTER):.0f} ms")


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        main(int(sys.argv[1]), "bare" in sys.argv[2:], Path(scratch) / "many")
