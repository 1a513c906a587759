"""Requests that are parsed already, held against a provider's rules."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import material
from benchmarks.processes import side
from benchmarks.rows import Broken, Row, cheaper
from benchmarks.side import Clock

if TYPE_CHECKING:
    from benchmarks.suite import Bench

SCHEMA = Path(__file__).resolve().parent.parent.parent / "schemas" / "openai-request.schema.json"


def measure(bench: "Bench") -> Sequence[Row]:
    """CPU of 10,000 requests of which one in a hundred is wrong, against Draft202012Validator.iter_errors, built once.

    The same requests must be found wrong, with as many errors each.
    """
    jobs = bench.size(10_000, 200)
    found = bench.interleaved(ours=lambda: side(ours, jobs=jobs), peer=lambda: side(peer, jobs=jobs))
    if len({str(used.told["wrong"]) for runs in found.values() for used in runs}) > 1:
        raise Broken("the two sides do not find the same errors")
    cost = {who: [used.told["cpu"] * 1e6 / jobs for used in runs] for who, runs in found.items()}
    against = "jsonschema, built once"
    return [cheaper("validation", "CPU us a request", cost["ours"], cost["peer"], against, least=20)]


def _requests(jobs: int) -> list[dict[str, Any]]:
    """Return requests of six kinds; every hundredth has a mistake, of four kinds."""
    made = []
    for number in range(jobs):
        request: dict[str, Any] = {
            "model": ("sora-2", "sora-2-pro")[number % 2],
            "prompt": material.prompt(number),
            "size": ("1280x720", "720x1280")[number // 2 % 2],
            "seconds": ("4", "8", "12")[number % 3],
        }
        if number % 100 == 7:
            field, value = [("prompt", 7), ("seconds", "5"), ("size", "1x1"), ("quality", "high")][number // 100 % 4]
            request[field] = value
        made.append(request)
    return made


def ours(jobs: int) -> Mapping[str, Any]:
    """Hold each against the rules as ``validate`` does it."""
    import json

    from pipeline import breaches  # noqa: F401  # imported where the first request is wrong; jsonschema, on both sides
    from pipeline.validation import checker

    requests, schema = _requests(jobs), json.loads(SCHEMA.read_text("utf-8"))
    with Clock() as clock:
        check = checker(schema)
        wrong = {number: len(found) for number, request in enumerate(requests) if (found := check(request))}
    return clock.told(wrong=sorted(wrong.items()))


def peer(jobs: int) -> Mapping[str, Any]:
    import json

    from jsonschema import Draft202012Validator

    requests, schema = _requests(jobs), json.loads(SCHEMA.read_text("utf-8"))
    with Clock() as clock:
        check = Draft202012Validator(schema)
        wrong = {
            number: len(found) for number, request in enumerate(requests) if (found := [*check.iter_errors(request)])
        }
    return clock.told(wrong=sorted(wrong.items()))
