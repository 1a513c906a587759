"""Campaigns without a ledger and without videos: as many jobs as one likes, for the page alone."""

from base64 import b64encode
from dataclasses import replace
from functools import cache
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


def account(number: int, film: str = "clip.mp4", *, bare: bool = False) -> Account:
    """Return a campaign of so many jobs with one film, whose thumbnails are of one colour each; ``bare`` has none."""
    histories = [history(one) for one in range(number)]
    footage = {}
    for one, told in enumerate(histories):
        path = told.job.path
        if path:
            footage[path] = Footage(path, film) if bare else Footage(path, film, _picture(one % 12 * 30))
    status = Status("thousand", "/campaign", "USD", tuple(told.job for told in histories))
    return Account(status, "studio", histories, footage, BEGAN + 9000, 30)


ATTACKS = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://example.com'>",
    "<link rel=stylesheet href=https://example.com/a.css><style>*{display:none}</style>",
    "<base href=https://example.com/>",
    "<!--<script>",
    "javascript:alert(1)",
    "$title ${data} {{ 7*7 }}",
    "\u202egnp.exe\u2028\u0000\u001b[31m\ud800",
)


def hostile(film: str) -> Account:
    """Return a campaign in which whatever others write is an attack: a job for each, and all of them in the head."""
    everything = " ".join(ATTACKS)
    histories, footage = [], {}
    for number, attack in enumerate(ATTACKS):
        told = history(number, prompt=attack)
        request = {**told.job.request, "model": attack, "size": attack, "seconds": attack, attack: {attack: [attack]}}
        failure = Failure(FailureKind.SERVER, attack, attack, attack, 500, attack)
        entries = [*told.entries]
        entries.append(Entry(BEGAN + 900, "held", State.HELD, {"failure": {"kind": "server", "message": attack}}, b""))
        entries.append(Entry(BEGAN + 901, "accepted", State.SUBMITTED, {"video_id": attack, "request_id": attack}, b""))
        done = number % 2 == 0
        changed = replace(
            told.job,
            name=f"{attack}#1",
            request=request,
            tags=(attack,),
            metadata={attack: attack},
            video_id=attack,
            base_url=attack,
            idempotency_key=attack,
            status=attack,
            path=attack if done else None,
            state=State.DONE if done else State.FAILED,
            warnings=(attack,),
            failure=failure,
        )
        footage[attack] = Footage(attack, film, None)
        histories.append(History(changed, tuple(entries)))
    status = Status(everything, "/campaign", everything, tuple(told.job for told in histories))
    return Account(status, everything, histories, footage, BEGAN + 9000, 30)


@cache
def _picture(hue: int) -> str:
    made = BytesIO()
    Image.new("HSV", (320, 180), (hue * 255 // 360, 90, 120)).convert("RGB").save(made, "webp", quality=40)
    return f"data:image/webp;base64,{b64encode(made.getvalue()).decode()}"
