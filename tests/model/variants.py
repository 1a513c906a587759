"""What is explored: servers of every kind, one job or two, and all that may go wrong with them. Values only.

``VARIANTS`` keep every promise. Each of ``ASSUMED`` takes away something that no program can do without: of all of
these a counter-example is known, and found again.
"""

from dataclasses import replace

from model.rules import FOREVER, LISTING, ONCE_MORE, REPLAYING, RESUBMITTING, Variant

from pipeline.decisions import Do

_GETS = frozenset({Do.RECONCILE, Do.POLL, Do.DOWNLOAD})
_RESUBMITTING = Variant("", RESUBMITTING, renders=False)
_LEFT = replace(_RESUBMITTING, left=True, posts=1)
_KEYS = Variant("keys", REPLAYING, memory=6, slow=_GETS | {Do.PREPARE}, confused=True, posts=3, renders=False)
# Or a job gives up before an older, equal one is forgotten that nobody looks for any more.
_PATIENT = replace(LISTING, silences=FOREVER)
_TWO = Variant("two jobs, a list", _PATIENT, jobs=2, slow=_GETS, plain=True, crashes=False, renders=False)

VARIANTS = (
    Variant("neither a list nor keys", confused=True, words=1, vanishing=True),
    Variant("a list", LISTING, confused=True, renders=False),
    Variant("a list that may be hasty", LISTING, hasty=True, stranger=True, confused=True, renders=False),
    replace(_LEFT, name="a hasty list, what is absent is resubmitted", hasty=True),
    replace(_LEFT, name="a hasty list, what is absent is resubmitted, a stranger", hasty=True, stranger=True),
    replace(_RESUBMITTING, name="a list, what is absent is resubmitted twice", confused=True, posts=3),
    replace(_RESUBMITTING, name="a list, the machine sleeps", suspends=True, posts=2),
    replace(_RESUBMITTING, name="a list, the clock jumps", jumps=(8, -8), posts=2),
    replace(_LEFT, name="a list that takes long, what is absent is resubmitted", long_lists=True),
    replace(_LEFT, name="a list with a gateway's prefix", spells="openai/sora-2", lateness=2),
    _KEYS,
    replace(_KEYS, name="keys and a list", policy=replace(REPLAYING, listing=True)),
    Variant("an orphan, a list", RESUBMITTING, orphaned=True, left=True, renders=False),
    Variant("an orphan, keys", REPLAYING, memory=6, orphaned=True, left=True, renders=False),
    Variant("what fails, or is lost, is tried once more", ONCE_MORE, posts=3, vanishing=True),
    Variant("two runs at once", runs=2, slow=frozenset(), lateness=0, plain=True, renders=False),
)
"""Explored in seconds, by the tests."""

LONG = (
    replace(_KEYS, name="keys and a list, what is absent is resubmitted", policy=replace(RESUBMITTING, replay=True)),
    Variant("neither a list nor keys, more of it", confused=True, words=2, posts=3, vanishing=True),
    Variant("a list, more of it", LISTING, hasty=True, stranger=True, confused=True, words=1, renders=False),
    Variant("a list, to the end", LISTING, confused=True, vanishing=True),
    replace(_KEYS, name="keys, more of it", posts=4, words=1, slow=_KEYS.slow | {Do.SUBMIT}),
    replace(_TWO, slow=_GETS | {Do.PREPARE, Do.SUBMIT}),
    replace(_TWO, name="two jobs, a list, crashes", crashes=True),
    Variant("two runs at once, keys", REPLAYING, runs=2, memory=6, slow=frozenset(), plain=True, renders=False),
)
"""Explored in minutes, besides the others."""

ASSUMED = (
    replace(_LEFT, name="no request is carried out after it has settled", lateness=6),
    replace(_KEYS, name="the server remembers a key for longer than we believe in it", memory=3),
    replace(_KEYS, name="this machine's clock is not set back by hours", jumps=(-5,), confused=False),
    replace(_KEYS, name="the machine does not sleep between Ready and the POST", suspends=True, confused=False),
)
