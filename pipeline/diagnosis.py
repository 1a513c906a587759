"""What a server's answers to harmless questions say about it: findings for people, lessons for its profile. Pure.

A lesson is a value of a profile's field and how it is known. What only looks so is a finding and no lesson: what a
server does not show, its profile does not claim.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime

from pipeline.comparing import OTHER
from pipeline.jobs import Failure, FailureKind, Job, State
from pipeline.profile import Profile
from pipeline.symptoms import (
    PAGE,
    Answer,
    Lesson,
    NoReply,
    Reached,
    Reply,
    Said,
    Sign,
    Tls,
    Verdict,
    envelope,
    failure_of,
    no_route,
    refuses_the_key,
    say_the_same,
    what,
)
from pipeline.videos import MAX_PAGE, REFERENCE, Page, Video, parse_object, parse_page

SOON = 14 * 86400.0
"""Seconds before its end in which a certificate is worth a warning."""

SKEWED = 60.0
"""Seconds between two clocks that are worth a warning."""


def about_address(found: Reached | NoReply | None, *, proxied: bool) -> Said:
    match found:
        case None:
            yield Sign("address", Verdict.OK, "the bundled simulator, inside this process")
        case NoReply(message):
            yield Sign("address", Verdict.PROBLEM, message, "check --base-url, the network, and whether it runs")
        case Reached(addresses, seconds):
            whose = "the proxy " if proxied else ""
            words = f"{whose}{', '.join(addresses[:4])}, connected in {seconds * 1000:.0f} ms"
            yield Sign("address", Verdict.OK, words)


def about_tls(url: str, answers: Sequence[Reply | NoReply], *, loopback: bool) -> Said:
    untrusted = next((one for one in answers if isinstance(one, NoReply) and one.untrusted), None)
    secured = next((one for one in answers if isinstance(one, Reply) and one.tls), None)
    if not url.startswith("https:"):
        verdict = Verdict.OK if loopback else Verdict.WARNING
        where = (
            "and the address is this machine's" if loopback else "to another machine: who is between can read the key"
        )
        yield Sign("tls", verdict, f"not encrypted, {where}")
    elif untrusted is not None:
        fix = "if the network is a company's, give its certificates with --ca-file"
        yield Sign("tls", Verdict.PROBLEM, f"the certificate is not trusted: {untrusted.message}", fix)
    elif secured is None or secured.tls is None:
        yield Sign("tls", Verdict.UNKNOWN, "no encrypted answer came")
    else:
        yield _certificate(secured.tls, secured.at)


def _certificate(tls: Tls, now: float) -> Sign:
    if tls.expires is None:
        return Sign("tls", Verdict.OK, f"{tls.version}, the certificate is trusted")
    left = tls.expires - now
    words = f"{tls.version}, the certificate is trusted and good for {left / 86400:.0f} days"
    return Sign("tls", Verdict.OK if left > SOON else Verdict.WARNING, words)


def about_key(profile: Profile, missing: str | None, *, sent: bool, answers: Sequence[Answer]) -> Said:
    """``missing`` says why there is no key, where the profile wants one. The first answer but accidents decides."""
    decisive = next((one for one in answers if isinstance(one, Reply) and one.status < 500), None)
    refused = failure_of(decisive) if decisive is not None and refuses_the_key(decisive) else None
    variables = " or ".join(profile.auth.env)
    if missing is not None:
        yield Sign("key", Verdict.PROBLEM, missing, f"set {variables}")
    elif refused is not None and sent:
        words = f"rejected with HTTP {refused.http_status}: {refused.message}"
        yield Sign("key", Verdict.PROBLEM, words, f"check {variables}, and that the address is the key's")
    elif refused is not None:
        words = f"none is sent, and one is wanted: HTTP {refused.http_status}: {refused.message}"
        yield Sign("key", Verdict.PROBLEM, words, f"set {variables}" if variables else "use a profile with a key")
        yield Lesson(("auth", "required"), True, f"without a key the answer is HTTP {refused.http_status}")
    elif decisive is not None:
        words = "accepted, as far as a GET can show" if sent else "none is sent, and none was asked for"
        yield Sign("key", Verdict.OK, words)
    else:
        yield Sign("key", Verdict.UNKNOWN, "no answer says whether it is accepted")


def about_models(answer: Answer, wanted: Sequence[str]) -> Said:
    """``wanted``: the models that the profile names, its default first; ``OTHER`` where it takes any name."""
    value = parse_object(answer.body, MAX_PAGE) if isinstance(answer, Reply) and answer.status == 200 else None
    items = value.get("data") if value else None
    names = (
        [item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)] if items else []
    )
    if not names:
        yield Sign("models", Verdict.UNKNOWN, f"GET /models lists none ({what(answer)})")
        return
    named = [name for name in wanted if name != OTHER]
    shown, here = ", ".join(names[:8]) + " ..." * (len(names) > 8), [name for name in named if name in names]
    if here or not named:
        yield Sign(
            "models", Verdict.OK, f"{len(names)}: {shown}" + f"; of the profile's: {', '.join(here)}" * bool(here)
        )
    else:
        fix = "name one of them as the manifest's model" if OTHER in wanted else "use a profile for these models"
        yield Sign("models", Verdict.WARNING, f"{shown}; none of the profile's ({', '.join(named)})", fix)
    if len(names) == 1 and OTHER in wanted and names != named[:1]:
        yield Lesson(("request", "defaults", "model"), names[0], "the only one in GET /models")


def about_list(answer: Answer, profile: Profile) -> Said:
    """The answer to ``GET /videos?limit=2&order=desc``."""
    field = ("abilities", "list")
    page = parse_page(answer.body, answer.headers, profile.status) if isinstance(answer, Reply) else None
    if isinstance(answer, Reply) and refuses_the_key(answer):
        yield Sign("list", Verdict.UNKNOWN, f"the key comes first: {what(answer)}")
    elif isinstance(answer, Reply) and (answer.status in _NO_SUCH_THING or (answer.status == 200 and page is None)):
        yield Sign("list", Verdict.OK, f"there is none: GET /videos answers {what(answer)}")
        yield Lesson(field, False, f"GET /videos answers {what(answer, words=False)}")
    elif not isinstance(answer, Reply) or answer.status != 200 or page is None:
        yield Sign("list", Verdict.UNKNOWN, f"GET /videos: {what(answer)}")
    elif not page.videos:
        words = "an empty list: whether it would show a job cannot be told before there is one"
        yield Sign("list", Verdict.UNKNOWN, words, _TWO_WANTED)
    else:
        yield from _listed(answer, page)


def _listed(answer: Reply, page: Page) -> Said:
    field = ("abilities", "list")
    times = [video.created_at for video in page.videos if video.created_at is not None]
    shows = "with prompts" if any(video.prompt for video in page.videos) else "without prompts"
    if len(times) < 2 or times[0] == times[1]:
        words = f"a list {shows}, whose order cannot be told"
        yield Sign("list", Verdict.UNKNOWN, words, _TWO_WANTED)
    elif times[0] < times[1]:
        words = "oldest first, though the newest were asked for: a job in doubt cannot be looked for in it"
        yield Sign("list", Verdict.WARNING, words)
        yield Lesson(field, False, "GET /videos ignores order=desc")
    else:
        found = f"newest first, {shows}{_metadata_words(answer)}"
        yield Sign("list", *((Verdict.OK, found) if shows == "with prompts" else (Verdict.WARNING, found, _NO_PROMPTS)))
        yield Lesson(field, True, f"GET /videos lists jobs, newest first, {shows}")
    if any(video.reference for video in page.videos):
        yield Lesson(("abilities", "echo"), True, f"GET /videos shows {REFERENCE} in metadata")


_NO_SUCH_THING = frozenset({400, 404, 405, 410, 422, 501})
_TWO_WANTED = "ask again when the account has two videos"
_NO_PROMPTS = "a job in doubt is held for a person: without its prompt it is not known again"


def _metadata_words(answer: Reply) -> str:
    items = (parse_object(answer.body, MAX_PAGE) or {}).get("data", [])
    shows = any(isinstance(item, dict) and item.get("metadata") for item in items)
    return " and metadata" if shows else ""


def about_unknown_id(answer: Answer, profile: Profile) -> Said:
    """The answer to ``GET /videos/{id}`` with an id that nobody has: what a job that was forgotten will look like."""
    if not isinstance(answer, Reply):
        yield Sign("unknown id", Verdict.PROBLEM if answer else Verdict.UNKNOWN, what(answer))
        return
    told = failure_of(answer)
    if told is None:
        yield Sign("unknown id", Verdict.PROBLEM, f"{what(answer)} for an id that nobody has", _WRONG_ADDRESS)
    elif 300 <= answer.status < 400:
        where = answer.headers.get("location", "nowhere")
        yield Sign("unknown id", Verdict.PROBLEM, f"redirected to {where}", "say that address with --base-url")
    elif envelope(answer.body) == PAGE or no_route(told):
        yield Sign("unknown id", Verdict.PROBLEM, f"there is no /videos/{{id}}: {what(answer)}", _WRONG_ADDRESS)
    elif told.kind is FailureKind.AUTH:
        yield Sign("unknown id", Verdict.UNKNOWN, f"the key comes first: {what(answer)}")
    else:
        yield from _forgotten(answer, told, profile)


def _forgotten(answer: Reply, told: Failure, profile: Profile) -> Said:
    words = f"{what(answer)}, read as {told.kind.value.replace('_', ' ')}"
    code = told.code or ""
    known = profile.codes.get(code) is not None
    if told.kind is FailureKind.LOST or (answer.status < 500 and known):
        yield Sign("unknown id", Verdict.OK, words)
    elif answer.status < 500 and _UNKNOWN_CODE.search(code):
        fix = f"errors: {{ {code}: lost }} in the profile says what it means"
        yield Sign("unknown id", Verdict.WARNING, words, fix)
        yield Lesson(("errors", code), "lost", f"HTTP {answer.status} to a GET of an id that nobody has")
    else:
        fix = "a job that the server has forgotten is asked for until it counts as stuck"
        yield Sign("unknown id", Verdict.WARNING, words, fix)


def about_content(answer: Answer) -> Said:
    """The answer to ``GET /videos/{id}/content`` with an id that nobody has."""
    if not isinstance(answer, Reply):
        yield Sign("content", Verdict.UNKNOWN, what(answer))
    elif answer.status == 200:
        words = f"{what(answer)} in place of a video that is not there"
        yield Sign("content", Verdict.WARNING, words, "what is no MP4 is never taken for a video, whatever its status")
    elif answer.status >= 500 or 300 <= answer.status < 400:
        words = f"{what(answer)} for a video that is not there"
        yield Sign("content", Verdict.WARNING, words, "a video that expired looks like an accident of the server")
    else:
        yield Sign("content", Verdict.UNKNOWN if refuses_the_key(answer) else Verdict.OK, what(answer))


def about_delete(answer: Answer, retrieved: Answer) -> Said:
    """The answer to ``DELETE /videos/{id}`` with an id that nobody has, beside the one to a GET of it."""
    field = ("abilities", "delete")
    if not isinstance(answer, Reply) or refuses_the_key(answer):
        yield Sign("delete", Verdict.UNKNOWN, what(answer))
    elif answer.status in {405, 501}:
        yield Sign("delete", Verdict.OK, f"there is none: {what(answer)}")
        yield Lesson(field, False, f"DELETE of an id that nobody has answers HTTP {answer.status}")
    elif answer.status == 404 and isinstance(retrieved, Reply) and say_the_same(answer, retrieved):
        yield Sign("delete", Verdict.OK, f"there is one, by its answer for an id that nobody has: {what(answer)}")
        yield Lesson(field, True, "DELETE of an id that nobody has is answered as a GET of it is")
    elif answer.status < 300:
        yield Sign("delete", Verdict.WARNING, f"{what(answer)} for an id that nobody has: its word proves nothing")
    else:
        yield Sign("delete", Verdict.UNKNOWN, f"cannot be told from {what(answer)}")


def about_clock(answers: Iterable[Answer]) -> Said:
    for answer in answers:
        date = _date(answer.headers.get("date", "")) if isinstance(answer, Reply) else None
        if date is None or not isinstance(answer, Reply):
            continue
        skew = date - answer.at
        if abs(skew) <= SKEWED:
            yield Sign("clock", Verdict.OK, f"the server's is at most {max(1, abs(skew)):.0f} s from this machine's")
        else:
            words = f"the server's is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
            fix = "set this machine's clock by NTP; created_at and expires_at are read by the server's"
            yield Sign("clock", Verdict.WARNING, words, fix)
        return
    yield Sign("clock", Verdict.UNKNOWN, "no answer has a Date")


def about_rates(answers: Iterable[Answer]) -> Said:
    headers = {name: value for one in answers if isinstance(one, Reply) for name, value in one.headers.items()}
    told = {name: value for name, value in headers.items() if _RATE.search(name)}
    if not told:
        yield Sign("rate", Verdict.UNKNOWN, "no header speaks of limits")
        return
    yield Sign("rate", Verdict.OK, ", ".join(f"{name}: {value[:40]}" for name, value in sorted(told.items())[:6]))
    most = told.get(_PER_MINUTE, "")
    if re.fullmatch(r"[1-9][0-9]{0,5}", most):
        yield Lesson(("limits", "requests_per_minute"), int(most), f"{_PER_MINUTE}: {most}, taken as a minute's")


def about_server(answers: Iterable[Answer]) -> Said:
    headers = {name: value for one in answers if isinstance(one, Reply) for name, value in one.headers.items()}
    told = [f"{words} {headers[name][:60]}".rstrip() for name, words in _SERVERS.items() if name in headers]
    told += [words for name, words in _MARKS.items() if name in headers]
    found = ", ".join(told)
    yield Sign("server", Verdict.OK if told else Verdict.UNKNOWN, found or "no header says what it is")


def about_clip(job: Job, ready_at: float | None, shown: Sequence[Video]) -> Said:
    """A rendered clip: its job, when the server said that it is ready, and the Videos that it answered with."""
    if job.state is not State.DONE or not job.video_id:
        words = f"{job.state.value.replace('_', ' ')}" + (f": {job.failure.message}" if job.failure else "")
        yield Sign("clip", Verdict.PROBLEM, words, "its campaign has the whole story: callsheet show")
        return
    words = f"whole, {job.bytes or 0:,} bytes"
    if ready_at is not None and job.submitted_at is not None:
        words += f", ready {ready_at - job.submitted_at:.0f} s after it was asked for"
    if job.expires_at is not None and ready_at is not None:
        words += f", kept for {job.expires_at - ready_at:,.0f} s"
    yield Sign("clip", Verdict.OK, words)
    asked = {name: str(job.request[name]) for name in ("size", "seconds") if name in job.request}
    other = {
        f"{name} {told}, not {value}"
        for video in shown
        for name, value in asked.items()
        if (told := getattr(video, name)) is not None and told.removesuffix(".0") != value
    }
    if other:
        yield Sign("clip", Verdict.WARNING, f"the server says {', '.join(sorted(other))}", "look at the video")
    later = [video.id == job.video_id for video in shown[1:]]
    if later:
        how = (
            "every status answer named the clip as its create answer did"
            if all(later)
            else ("a status answer named the clip otherwise than its create answer did")
        )
        yield Lesson(("abilities", "same_id"), all(later), how)


def about_clips_content(answer: Answer) -> Said:
    """The answer to ``GET /videos/{id}/content`` of a clip that is ready."""
    if not isinstance(answer, Reply):
        yield Sign("clip", Verdict.UNKNOWN, f"its content once more: {what(answer)}")
    elif 300 <= answer.status < 400:
        yield Lesson(("content", "redirects"), True, f"the content of a finished clip is behind HTTP {answer.status}")
    elif answer.status == 200 and (told := parse_object(answer.body)) is not None:
        keys = [key for key, value in told.items() if isinstance(value, str) and value.startswith("https://")]
        if len(keys) == 1:
            yield Lesson(("content", "url"), keys[0], "the content of a finished clip is JSON with one address")


_WRONG_ADDRESS = "the base address is probably another: many end in /v1"
_UNKNOWN_CODE = re.compile(r"not_?exist|not_?found|no_?such|unknown_(id|task|video)", re.IGNORECASE)
_RATE = re.compile(r"^(llm_provider-)?(x-ratelimit-|ratelimit|retry-after)")
_PER_MINUTE = "x-ratelimit-limit-requests"
_SERVERS: Mapping[str, str] = {
    "x-litellm-version": "LiteLLM",
    "x-new-api-version": "a new-api",
    "openai-version": "OpenAI",
    "server": "says that it is",
    "via": "through",
}
_MARKS: Mapping[str, str] = {
    "x-litellm-call-id": "with LiteLLM's headers",
    "x-oneapi-request-id": "with the headers of one-api and what is made of it",
    "cf-ray": "behind Cloudflare",
}


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
