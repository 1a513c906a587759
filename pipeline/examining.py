"""One examination of a server: every probe once, in order, and what all of them say together. Creates nothing."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit

from pipeline import diagnosis
from pipeline.probing import Prober
from pipeline.profile import Profile
from pipeline.symptoms import Lesson, NoReply, Reply, Said, Sign, Verdict

_NO_SERVER = ("unknown id", Verdict.PROBLEM)
_NEEDS_A_CONNECTION = ("tls", "models", "list", "unknown id", "content", "delete", "clock", "rate", "server")


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose server is asked: ``models`` are those that the profile names, ``missing`` says why there is no key."""

    profile: Profile
    models: Sequence[str]
    missing: str | None
    sends_key: bool
    proxied: bool


async def examine(prober: Prober, patient: Patient, rng: Random) -> list[Sign | Lesson]:
    """Return what is found, in the order of the probes. ``rng`` makes an id that nobody has."""
    reached = await prober.reach()
    found = [*diagnosis.about_address(reached, proxied=patient.proxied)]
    first = NoReply("not reached") if isinstance(reached, NoReply) else await prober.ask("GET", "models")
    if isinstance(reached, NoReply) or (isinstance(first, NoReply) and first.untrusted):
        return [*found, *_unreached(prober.base_url, first, patient)]
    nobody = f"video_{rng.getrandbits(128):032x}"
    listed = await prober.ask("GET", "videos", limit="2", order="desc")
    unknown = await prober.ask("GET", "videos", nobody)
    content = await prober.ask("GET", "videos", nobody, "content")
    deleted = await prober.ask("DELETE", "videos", nobody)
    answers = [first, listed, unknown, content, deleted]
    about: list[Said] = [
        _encryption(prober.base_url, answers) if reached else iter(()),
        diagnosis.about_key(patient.profile, patient.missing, sent=patient.sends_key, answers=[unknown, listed]),
        diagnosis.about_models(first, patient.models),
        diagnosis.about_list(listed, patient.profile),
        diagnosis.about_unknown_id(unknown, patient.profile),
        diagnosis.about_content(content),
        diagnosis.about_delete(deleted, unknown),
        diagnosis.about_clock(answers),
        diagnosis.about_rates(answers),
        diagnosis.about_server(answers),
    ]
    found += (one for said in about for one in said)
    strange = any(isinstance(one, Sign) and (one.probe, one.verdict) == _NO_SERVER for one in found)
    return [one for one in found if isinstance(one, Sign)] if strange else found  # what is no server teaches nothing


def _encryption(url: str, answers: Sequence[Reply | NoReply]) -> Said:
    host = urlsplit(url).hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return diagnosis.about_tls(url, answers, loopback=loopback)


def _unreached(url: str, first: Reply | NoReply, patient: Patient) -> Iterator[Sign | Lesson]:
    """Yield what can be said all the same where no question got to the server."""
    untrusted = isinstance(first, NoReply) and first.untrusted
    if untrusted:
        yield from _encryption(url, [first])
    yield from diagnosis.about_key(patient.profile, patient.missing, sent=patient.sends_key, answers=[])
    for probe in _NEEDS_A_CONNECTION:
        if probe != "tls" or not untrusted:
            yield Sign(probe, Verdict.UNKNOWN, "not asked: there is no connection that can be trusted")
