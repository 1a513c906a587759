"""Who is told how a run goes: what they hear is on disk, their sums are those of the ledger, and none can harm it."""

import fcntl
import json
import os
import re
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from jsonschema import Draft202012Validator
from world import World, answers, breaks, does_and_then, spec, waits

from pipeline import shipped
from pipeline.credential import Censor, Secret
from pipeline.errors import UsageError
from pipeline.events import Event
from pipeline.exposition import Metric, Sample, text
from pipeline.jobs import Job, State
from pipeline.journal import Journal
from pipeline.ledger import reading
from pipeline.logbook import Logbook
from pipeline.metering import Meter
from pipeline.onlookers import Begun, Progress, Several
from pipeline.profile import Price
from pipeline.summary import Status
from pipeline.tally import Gauges

SIX = [spec(number) for number in range(6)]
FAST = {"requests_per_minute": 6000, "polls_per_second": 100}
KEY = "sk-callsheet-test-0123456789"
PROMPT = "a prompt that nobody else may read"


class Ear(Progress):
    """Hears all, and keeps what it heard."""

    interval = 1.0

    def __init__(self) -> None:
        self.begun: Begun | None = None
        self.heard_events: list[tuple[Job, Event, Job]] = []
        self.gauges: list[Gauges] = []

    def started(self, begun: Begun) -> None:
        self.begun = begun

    def observe(self, before: Job, event: Event, after: Job) -> None:
        self.heard_events.append((before, event, after))

    def beat(self, gauges: Gauges) -> None:
        self.gauges.append(gauges)


def refusal(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "code": "moderation_blocked"}}).encode()


def troubles(world: World) -> None:
    """A refusal, a rate limit, and a POST whose answer is lost."""
    world.profile = replace(world.profile, price=Price("USD", {"sora-2": 0.1}))
    world.fault(
        "POST",
        "/videos",
        answers(400, refusal("No.")),
        answers(429, b'{"error": {"message": "slow"}}', Retry_After="7"),
        does_and_then(breaks(httpx.ReadError("cut"))),
    )


async def test_the_sums_that_are_folded_are_those_of_the_ledger(world_without_keys: World) -> None:
    world, ear = world_without_keys, Ear()
    troubles(world)
    await world.run(SIX, progress=ear, max_cost=1.7, **FAST)
    assert ear.begun is not None
    tally = ear.begun.tally
    found = Status("world", "", "USD", tuple(world.jobs().values()))
    assert {state: tally.counts[state] for state in State} == found.counts
    assert {State.HELD, State.FAILED, State.DONE, State.PLANNED} == {state for state, n in found.counts.items() if n}
    assert tally.spent == pytest.approx(found.spent)
    assert tally.in_doubt == pytest.approx(found.in_doubt) != 0
    assert (tally.failures["moderation_input"], tally.failures["ambiguous"]) == (1, 1)
    assert len(tally.renders) == found.counts[State.DONE]
    assert max(gauges.paused for gauges in ear.gauges) > 5
    assert ear.gauges[-1].rate < ear.gauges[-1].most_rate


async def test_what_the_next_run_knows_of_renders_is_in_the_ledger(world: World) -> None:
    first, second = Ear(), Ear()
    await world.run(SIX, progress=first, **FAST)
    await world.run(SIX, progress=second, **FAST)
    assert first.begun is not None
    assert second.begun is not None
    assert second.begun.tally.render == pytest.approx(first.begun.tally.render, abs=0.2)


async def test_the_time_left_is_about_right(world: World) -> None:
    await world.run(SIX, **FAST)  # this teaches how long a render takes
    left: list[tuple[float, float | None]] = []

    class Asks(Ear):
        def beat(self, gauges: Gauges) -> None:
            assert self.begun is not None
            left.append((anyio.current_time(), self.begun.tally.remaining(self.begun.now())))

    many = [*SIX, *(spec(number) for number in range(6, 40))]
    await world.run(many, progress=Asks(), requests_per_minute=6, polls_per_second=100)
    ended = anyio.current_time()
    for when, seconds in left[5 : len(left) * 3 // 4]:
        assert seconds is not None
        assert abs((ended - when) - seconds) < 0.25 * (ended - when) + 10


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], Several]:
    """Makes those who write files, in a folder."""
    return lambda: Several(
        Journal(tmp_path / "events.ndjson", complain=pytest.fail),
        Logbook(
            tmp_path / "run.log", censor=Censor(Secret(KEY)), facts={"provider": "x", "told": KEY}, complain=pytest.fail
        ),
        Meter(tmp_path / "run.prom", complain=pytest.fail),
    )


def counts(world: World) -> dict[State, int]:
    return Status("", "", "", tuple(world.jobs().values())).counts


def lines(path: Path) -> list[dict[str, Any]]:
    rules = Draft202012Validator(shipped.schema("event"))
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in found:
        rules.validate(line)
    return found


async def test_the_events_are_those_of_the_ledger_each_a_line(world_without_keys: World, tmp_path: Path, files) -> None:
    world = world_without_keys
    troubles(world)
    await world.run(SIX, progress=files(), **FAST)
    told = lines(tmp_path / "events.ndjson")
    assert [told[0]["type"], told[-1]["type"]] == ["run_started", "run_ended"]
    assert told[-1]["counts"] == {state.value: number for state, number in counts(world).items()}
    assert {line["type"] for line in told} == {"run_started", "event", "heartbeat", "run_ended"}
    for name in world.jobs():
        assert [line["event"] for line in told if line.get("job") == name] == world.events(name)


async def test_what_is_told_is_on_disk_already(world: World) -> None:
    class Looks(Progress):
        def observe(self, before: Job, event: Event, after: Job) -> None:
            with reading.opened(world.folder / "ledger.db") as connection:
                assert next(job for job in reading.jobs(connection) if job.name == after.name) == after

    await world.run(SIX[:2], progress=Looks(), **FAST)
    assert world.states() == {State.DONE}


async def test_no_file_has_the_key_or_a_prompt(world: World, tmp_path: Path, files) -> None:
    world.secret = Secret(KEY)
    quoting = json.dumps({"error": {"message": f"no: {PROMPT} {KEY}", "code": "moderation_blocked"}}).encode()
    world.fault("POST", "/videos", answers(400, quoting, x_request_id=f"req-{KEY}"), waits(0))
    await world.run([spec(0, PROMPT), spec(1, PROMPT)], progress=files(), **FAST)
    assert world.states() == {State.DONE, State.FAILED}
    for name in ("events.ndjson", "run.log", "run.prom"):
        written = (tmp_path / name).read_text("utf-8")
        assert KEY not in written
        assert (PROMPT in written) == (name == "events.ndjson"), "the server's words are the ledger's"
    assert stat.S_IMODE((tmp_path / "run.log").stat().st_mode) == 0o600


async def test_the_log_has_every_request_and_what_followed(world: World, tmp_path: Path, files) -> None:
    world.fault("POST", "/videos", answers(429, b'{"error": {"message": "slow"}}', Retry_After="40", x_request_id="r7"))
    world.fault("GET", "/content", breaks(httpx.ReadError("cut")))
    await world.run(SIX[:2], progress=files(), **FAST)
    log = (tmp_path / "run.log").read_text("utf-8")
    assert len(re.findall(r"Z  (?:GET|POST) /videos", log)) == len(world.seen)
    for words in (
        "run started", "python=", "httpx=", "provider=x", "POST /videos 429", "request_id=r7", "/content ReadError",
        "paused for ", "3000.00 submits a minute  most=6000.00", "returned, submitting -> planned", "run ended with 0",
    ):  # fmt: skip
        assert words in log, words
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  \S", line) for line in log.splitlines())


def parsed(exposed: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read the text format as its description says: HELP and TYPE before all the samples of a name."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    kinds: dict[str, str] = {}
    assert exposed.endswith("\n")
    for line in exposed.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in found
            found[name] = {}
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert kind in {"counter", "gauge"}
            assert name.endswith("_total") == (kind == "counter")
            kinds[name] = kind
        else:
            match = re.fullmatch(r'([a-z_]+)\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\n"])*",?)*)\} (\S+)', line)
            assert match, line
            labels = re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', match[2])
            assert match[1] == [*found][-1] in kinds
            assert tuple(labels) not in found[match[1]]
            found[match[1]][tuple(labels)] = float(match[3])
    return found


def drafts(folder: Path) -> list[Path]:
    return [*folder.glob(".*.tmp")]


async def test_the_metrics_are_what_prometheus_reads(world_without_keys: World, tmp_path: Path, files) -> None:
    world = world_without_keys
    troubles(world)
    await world.run(SIX, progress=files(), **FAST)
    found = parsed((tmp_path / "run.prom").read_text("utf-8"))
    of = ("campaign", "world")
    assert found["callsheet_jobs"] == {(of, ("state", state.value)): number for state, number in counts(world).items()}
    requests = found["callsheet_requests_total"]
    assert sum(requests.values()) == len(world.seen)
    assert requests[(of, ("what", "submit"), ("status", "none"))] == 1
    assert requests[(of, ("what", "submit"), ("status", "429"))] == 1
    assert found["callsheet_failures_total"][(of, ("class", "moderation_input"))] == 1
    assert found["callsheet_received_bytes_total"][(of,)] == sum(job.bytes or 0 for job in world.jobs().values())
    assert found["callsheet_run_exit"] == {(of,): 0}
    assert drafts(tmp_path) == []


def test_a_label_is_escaped() -> None:
    written = text([Metric("m", "gauge", "M.", (Sample(1.5, {"campaign": 'a "b" \\ \n c'}),))])
    assert 'm{campaign="a \\"b\\" \\\\ \\n c"} 1.5\n' in written
    assert list(parsed(written)["m"].values()) == [1.5]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
async def test_a_full_disk_or_a_closed_pipe_is_said_once_and_harms_nothing(world: World, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    said: list[str] = []
    members = Journal(Path("/dev/full"), complain=said.append), Journal(pipe, complain=said.append)
    gone = tmp_path / "gone"
    gone.mkdir()
    meter = Meter(gone / "run.prom", complain=said.append)
    gone.rmdir()
    os.close(reader)
    await world.run(SIX, progress=Several(*members, meter), **FAST)
    assert world.states() == {State.DONE}
    assert sorted(words.partition(":")[2].split(".")[0].strip() for words in said) == [
        "Broken pipe", "No space left on device", "No such file or directory",
    ]  # fmt: skip


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="the size of a pipe can be set on Linux only")
async def test_a_reader_that_is_too_slow_is_not_waited_for(world: World, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    said: list[str] = []
    await world.run(SIX, progress=Journal(pipe, complain=said.append), **FAST)
    os.close(reader)
    assert world.states() == {State.DONE}
    assert len(said) == 1, "the pipe is full, and nobody has read it"


CUT = '{"schema_version":1,"at":"2026-11-29T12:0'


async def test_a_line_that_was_cut_is_ended_before_the_next_one(world: World, tmp_path: Path, files) -> None:
    (tmp_path / "events.ndjson").write_text(CUT)
    await world.run(SIX[:1], progress=files(), **FAST)
    first, *others = (tmp_path / "events.ndjson").read_text("utf-8").splitlines()
    assert first == CUT
    assert json.loads(others[0])["type"] == "run_started"


@pytest.mark.parametrize("kind", [Journal, Meter])
def test_a_file_that_cannot_be_written_is_found_before_anything_is_spent(tmp_path: Path, kind: type[Any]) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*nowhere"):
        kind(tmp_path / "nowhere" / "file", complain=print)
