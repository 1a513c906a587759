"""What aftercare finds, for people. Every foreign string goes through ``render.safe``; nothing is read as markup."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.aftercare import Shown, Story, Verified
from pipeline.answers import Answer, Question
from pipeline.audits import Audit, Surplus, total
from pipeline.clock import utc
from pipeline.documents import answer_command
from pipeline.jobs import Job
from pipeline.ledger.reading import Entry
from pipeline.rebuilding import LeftOut, Rebuilt
from pipeline.render import count, safe
from pipeline.reporting import Reported
from pipeline.resolving import Answered, Questions, Spending

_SHOWN_AT_MOST = 100
_ANSWER_AT_MOST = 4000
_PROMPT_AT_MOST = 1000
_WIDTH = 14

_ANSWERS = {
    Answer.ADOPT: "It is there",
    Answer.RESUBMIT: "Pay once more",
    Answer.ABANDON: "Give it up",
}
_DONE = {
    Answer.ADOPT: "has its video now, {video_id}: the next run fetches it, and pays nothing",
    Answer.RESUBMIT: "will be paid for once more, by the next run",
    Answer.ABANDON: "is given up; what it may have cost stays in doubt",
}


def show(console: Console, found: Shown) -> None:
    """Print each job's story: what was asked, where it stands, and every event with what the server said."""
    for story in found.stories:
        _story(console, story, found.currency)
    if len(found.stories) > 1:
        console.print(f"{len(found.stories)} jobs have this name, each with a request of its own.")


def questions(console: Console, found: Questions, command: Sequence[str]) -> None:
    """Print each job that waits for a person, what helps to decide, and the commands that answer."""
    if not found.questions:
        console.print("Nothing waits for a person.")
        return
    for question in found.questions:
        _question(console, question, found.currency)
        for answer in question.answers:
            words = shlex.join(answer_command(command, question, answer))
            _line(console, _ANSWERS[answer], words, length=2000)
        console.print()
    console.print(
        f"{count(len(found.questions), 'job')} of {safe(found.name)} to decide about. Look in the provider's console "
        "for a video of the same request, created in the time given. An answer is recorded, and sends no request."
    )


def answered(console: Console, found: Answered) -> None:
    job = found.after
    console.print(f"{safe(job.name)} {_DONE[found.answer].format(video_id=safe(job.video_id))}.")
    if found.video is not None and found.video.created_at is not None:
        console.print(f"The server created it at {utc(found.video.created_at)}.")
    if job.orphaned and found.answer is Answer.RESUBMIT:
        console.print("The manifest no longer asks for it: a run submits it only when it does again.")


def spending(console: Console, asked: Spending) -> None:
    """Print what is about to be confirmed."""
    job = asked.job
    console.print(
        f"{safe(job.name)} is {_state(job)}: it may have been paid for already, {_price(job, asked.currency)}."
    )
    console.print(f"One more attempt costs {_money(asked.price, asked.currency)}.")


def verify(console: Console, found: Verified) -> None:
    """Print every difference between the files, the ledger, the lock and the manifest."""
    for fault in found.faults[:_SHOWN_AT_MOST]:
        console.print(
            Text.assemble(
                ("  ", ""),
                (f"{fault.wrong.value:17} ", "red"),
                f"{safe(fault.path)}  ({safe(fault.job, 60)}): ",
                safe(fault.message),
            )
        )
    _rest(console, found.faults)
    for one in found.differences[:_SHOWN_AT_MOST]:
        head = f"{safe(one.job, 60)}: {safe(one.name)}" if one.job else safe(one.name)
        console.print(Text.assemble(("  ", ""), (f"{one.about:17} ", "red"), f"{head}: {safe(one.message, 500)}"))
    _rest(console, found.differences)
    if found.unknown:
        console.print(f"Files that no job has: {_some(found.unknown)}. They are left alone.")
    wrong = len({fault.job for fault in found.faults})
    verdict = f"{count(wrong, 'job')} with a difference" if wrong else "all as recorded"
    if found.differences:
        verdict += f", {count(len(found.differences), 'difference')} from what was locked"
    if found.lock is None:
        console.print("Held against the ledger alone: there is no lock.")
    else:
        console.print(f"Held against {safe(found.lock.path)}{'' if found.ledger else '; there is no ledger'}.")
    read = f"{count(found.videos, 'video')}, {found.bytes:,} bytes"
    console.print(Text(f"{read}: {verdict}.", "bold red" if found.exit_code else "bold"))


def rebuild(console: Console, found: Rebuilt) -> None:
    """Print what the new ledger has, what it has not, and what nobody can know any more."""
    console.print(Text(f"A new ledger with {count(len(found.jobs), 'finished job')}.", "bold"))
    if found.again:
        console.print(f"The last take was rejected of {_some(found.again)}: the next run pays for another one.")
    for words, some in (("Left out", found.left_out), ("Also there", found.copies)):
        _left_out(console, words, some)
    for job, video_id in found.rescued[:_SHOWN_AT_MOST]:
        console.print(f"  Paid, written down beside the ledger, not fetched: {safe(video_id)} for {safe(job)}")
    console.print(
        "It cannot know what was paid and had not been fetched when the old one was lost, nor what failed: a run would "
        "pay for those again. Compare it with the server's list first, with `callsheet audit`."
    )
    if found.provider is None:
        console.print("It does not know whose API it was; the next run tells it.")
    console.print(f"Ledger   {safe(found.path)}/ledger.db")


def audit(console: Console, found: Audit, command: Sequence[str]) -> None:
    """Print what one side has and the other lacks, with its cost."""
    for one in found.surplus[:_SHOWN_AT_MOST]:
        _surplus(console, one, found, command)
    _rest(console, found.surplus)
    for job in found.missing[:_SHOWN_AT_MOST]:
        price = _money(job.price, found.ledger_currency)
        console.print(
            Text.assemble(("  missing  ", "red"), f"{safe(job.video_id)}  {safe(job.name, 60)}, {_state(job)}, {price}")
        )
    _rest(console, found.missing)
    if found.surplus:
        cost = _total((one.cost for one in found.surplus), found.currency)
        console.print(f"Surplus: {count(len(found.surplus), 'video')} that no job has, {cost}.")
        console.print("On an account that others use too they may be somebody else's.")
    if found.missing:
        cost = _total((job.price for job in found.missing), found.ledger_currency)
        console.print(f"Missing: {count(len(found.missing), 'job')} that {safe(found.source)} does not show, {cost}.")
    if found.elsewhere:
        console.print(f"{count(found.elsewhere, 'job')} at another address or with another key: not compared.")
    if found.incomplete:
        console.print(Text(f"The list is not whole: {safe(found.incomplete.message)}. Ask again later.", "bold red"))
    elif found.exit_code == 0:
        console.print(
            Text(f"{count(found.seen, 'id')} at {safe(found.source)}: nothing surplus, nothing missing.", "bold")
        )


def report(console: Console, found: Reported) -> None:
    """Print where the page is, and what it lacks."""
    gone = f", {count(found.missing, 'file')} not there" if found.missing else ""
    console.print(f"{count(found.jobs, 'job')}, {count(found.videos, 'video')}{gone}; {found.bytes:,} bytes.")
    if found.note:
        console.print(found.note)
    console.print(f"Page     {safe(found.page, 2000)}")


def _story(console: Console, story: Story, currency: str | None) -> None:
    job = story.job
    console.print(Text.assemble((safe(job.name), "bold"), f"  {_state(job)}{', not in the manifest' * job.orphaned}"))
    _line(console, "Request hash", job.request_hash)
    approved = f", {count(job.approvals, 'time')} by a person's word" if job.approvals else ""
    _line(console, "Attempt", f"{job.attempt}{approved}")
    _line(console, "Address", job.base_url)
    _line(console, "Key", f"idempotency key {job.idempotency_key}; paid with {job.key_fingerprint or 'no key'}")
    _line(console, "Video", job.video_id)
    _line(console, "Expires", utc(job.expires_at))
    _line(console, "Cost", _price(job, currency))
    _line(console, "File", job.path and f"{job.path}, {job.bytes:,} bytes, {'there' if story.intact else 'NOT THERE'}")
    _line(console, "SHA-256", job.sha256)
    _line(console, "Request ids", ", ".join(story.request_ids), length=2000)
    for warning in job.warnings:
        _line(console, "Warning", warning)
    if job.failure:
        _line(console, "Why", f"{job.failure.kind}: {job.failure.message}", length=2000)
    console.print(Text("  Request", "dim"))
    _pretty(console, json.dumps(dict(job.request)).encode(), "    ")
    for entry in story.events:
        _event(console, entry)
    console.print()


def _event(console: Console, entry: Entry) -> None:
    console.print(Text.assemble((f"  {utc(entry.at)}  ", "dim"), (f"{safe(entry.kind)}", "bold"), f"  {entry.state}"))
    for name, value in _flat(entry.data):
        shown = utc(value) if name.endswith("_at") and isinstance(value, int | float) else value
        _line(console, f"  {safe(name)}", shown, width=2 * _WIDTH, length=2000)
    if entry.raw:
        console.print(Text(f"    the server's answer, {len(entry.raw):,} bytes", "dim"))
        _pretty(console, entry.raw, "      ")


def _flat(changes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what an event changed; of a failure, each of its parts."""
    for name, value in changes.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        elif value != []:
            yield name, value


def _pretty(console: Console, data: bytes, margin: str) -> None:
    """Print JSON with its structure, anything else as lines of text, up to a limit."""
    try:
        text = json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = data.decode("utf-8", "replace")
    for line in text[:_ANSWER_AT_MOST].split("\n"):
        console.print(f"{margin}{safe(line, _ANSWER_AT_MOST)}")
    if len(text) > _ANSWER_AT_MOST:
        console.print(f"{margin}… {len(text) - _ANSWER_AT_MOST:,} characters more; --json has them all")


def _question(console: Console, question: Question, currency: str | None) -> None:
    job, request = question.job, question.job.request
    console.print(Text.assemble((safe(job.name), "bold"), f"  {_state(job)}{', not in the manifest' * job.orphaned}"))
    _line(console, "Why", job.failure.message if job.failure else "a run was in the middle of its POST", length=2000)
    if question.window:
        _line(console, "Created", f"{utc(question.window[0])} to {utc(question.window[1])}, if it was")
    _line(console, "Address", job.base_url)
    _line(console, "Request", f"{request.get('model')}, {request.get('size')}, {request.get('seconds')} s")
    _line(console, "Prompt", request.get("prompt"), length=_PROMPT_AT_MOST)
    _line(console, "Video", job.video_id)
    _line(console, "Price", _price(job, currency))
    _line(console, "Key", f"idempotency key {job.idempotency_key}")
    _line(console, "Request ids", ", ".join(question.request_ids), length=2000)


def _surplus(console: Console, one: Surplus, found: Audit, command: Sequence[str]) -> None:
    video = one.video
    facts = [utc(video.created_at), video.model, video.size, video.seconds and f"{video.seconds} s"]
    told = ", ".join(safe(fact, 60) for fact in facts if fact)
    head = f"{safe(video.id)}  {told}{', ' * bool(told)}{_money(one.cost, found.currency)}"
    console.print(Text.assemble(("  surplus  ", "yellow"), head))
    if video.prompt:
        console.print(f"           {safe(video.prompt, 100)}")
    for question in one.could_be:
        words = safe(shlex.join(answer_command(command, question, Answer.ADOPT, video.id)), 2000)
        console.print(Text(f"           could be {safe(question.job.name, 60)}: {words}", "yellow"))


def _left_out(console: Console, words: str, some: Sequence[LeftOut]) -> None:
    for one in some[:_SHOWN_AT_MOST]:
        console.print(f"  {words}: {safe(one.path)}: {safe(one.reason)}")
    _rest(console, some)


def _line(console: Console, name: str, value: object, *, width: int = _WIDTH, length: int = 300) -> None:
    """Print a name and its value, where it has one."""
    if value is not None and value != "":
        console.print(Text.assemble((f"  {name:{width}}", "dim"), safe(value, length)))


def _rest(console: Console, things: Sequence[object]) -> None:
    if len(things) > _SHOWN_AT_MOST:
        console.print(f"  … and {len(things) - _SHOWN_AT_MOST:,} more; --json has them all")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(safe(name) for name in names[:10])
    return f"{shown} and {len(names) - 10:,} more" if len(names) > 10 else shown


def _state(job: Job) -> str:
    return job.state.value.replace("_", " ")


def _price(job: Job, currency: str | None) -> str:
    sunk = f", and {_money(job.sunk, currency)} for what was tried before" if job.sunk else ""
    return f"{_money(job.price, currency)}{sunk}"


def _money(price: float | None, currency: str | None) -> str:
    return "price unknown" if price is None else f"{price:.2f} {safe(currency or '')}".rstrip()


def _total(costs: Iterable[float | None], currency: str | None) -> str:
    known, unknown = total(costs)
    if not unknown:
        return _money(known, currency)
    return f"{_money(known, currency)} and {unknown} at a price that nobody knows" if known else "price unknown"
