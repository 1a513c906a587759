"""Campaigns without a ledger and without videos: as many jobs as one likes, for the page alone."""

from base64 import b64encode
from io import BytesIO

from PIL import Image

from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.ledger.reading import Entry
from pipeline.report.frames import Footage, History
from pipeline.report.page import Account
from pipeline.summary import Status

BEGAN = 1_795_945_500.0
_WORDS = ("river", "harbour", "orchard", "glacier", "station", "market", "desert")
_SIZES = ("1280x720", "1280x720", "720x1280")


def history(number: int, *, prompt: str | None = None) -> History:
    """Return one of many jobs: every tenth one failed, the others are done."""
    word = _WORDS[number % len(_WORDS)]
    request = {
        "model": "sora-2",
        "prompt": prompt or f"Shot {number}: a {word} at dusk, slow camera, soft light, a hand enters the frame.",
        "size": _SIZES[number % 3],
        "seconds": ("4", "8", "12")[number % 3],
    }
    at = BEGAN + 2 * number
    entries = [Entry(at, "intended", State.SUBMITTING, {"attempt": 1, "price": 0.4}, b"")]
    facts = {"attempt": 1, "price": 0.4, "tags": (word,)}
    if number % 10 == 9:
        failure = Failure(FailureKind.MODERATION_INPUT, "Not this prompt.", "policy", "prompt", 400)
        entries.append(Entry(at + 1, "refused", State.FAILED, {"failure": {"kind": "moderation_input"}}, b""))
        job = Job(f"clip-{number}#1", f"{number:064x}", request, "", state=State.FAILED, failure=failure, **facts)
        return History(job, tuple(entries))
    path = f"videos/clip-{number}.mp4"
    entries += [
        Entry(at + 1, "accepted", State.SUBMITTED, {"video_id": f"video_{number}"}, b""),
        Entry(at + 60 + number % 50, "completed", State.COMPLETED, {}, b""),
        Entry(at + 61 + number % 50, "verified", State.VERIFIED, {"bytes": 1000}, b""),
        Entry(at + 61 + number % 50, "published", State.DONE, {"path": path}, b""),
    ]
    done = {"state": State.DONE, "video_id": f"video_{number}", "path": path, "sha256": f"{number:064x}", "bytes": 1000}
    return History(Job(f"clip-{number}#1", f"{number:064x}", request, "", **facts, **done), tuple(entries))


def account(number: int) -> Account:
    """Return a campaign of so many jobs, whose thumbnails are of one colour each."""
    histories = [history(one) for one in range(number)]
    footage = {}
    for one, told in enumerate(histories):
        if told.job.path:
            footage[told.job.path] = Footage(told.job.path, told.job.path, _picture(one % 360))
    status = Status("thousand", "/campaign", "USD", tuple(told.job for told in histories))
    return Account(status, "studio", histories, footage, BEGAN + 9000, 30)


def _picture(hue: int) -> str:
    made = BytesIO()
    Image.new("HSV", (320, 180), (hue * 255 // 360, 90, 120)).convert("RGB").save(made, "webp", quality=40)
    return f"data:image/webp;base64,{b64encode(made.getvalue()).decode()}"
