"""Datasets on a disk: what is in them, that they are whole or not there, and that they touch nobody's files."""

import csv
import fcntl
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from gateway import call
from jsonschema import Draft202012Validator
from rendered import ROW, assert_whole, files, lines, render, spec

from pipeline import shipped
from pipeline.custody import Clip
from pipeline.delivery import Exported, Wanted, export
from pipeline.errors import LedgerError, UsageError
from pipeline.formats import FORMATS
from pipeline.instructions import Options
from pipeline.mp4 import Mp4
from pipeline.rows import COLUMNS, NAMES
from pipeline.splits import splits
from pipeline.staging import Tree, exchanged, staged

HOSTILE = '=cmd|" /C calc"!A0\n\u2028\u202e</script>, {{ x }} \U0001f98a'
THREE = splits("train=0.6,validation=0.2,test=0.2")
SPECS = [
    *(
        spec(f"shot-{number}#{take}", f"Prompt {number}", tags=["hero"] * (number == 1))
        for number in range(8)
        for take in (1, 2)
    ),
    spec("a.b@dawn-1x1#1", HOSTILE, seed=7),
]
MORE = [spec(f"more-{number}#1", f"More {number}") for number in range(10)]


ALL = [*SPECS, spec("bad#1", "Bad"), spec("later#1", "Later")]
DEPARTED = [*SPECS[2:], spec("shot-0#1", "Another prompt")]
"""The manifest after a change: the prompt of one take is another, the other take is gone."""


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory, clip: bytes) -> Path:
    """Seventeen videos, one job that failed and one that is still to come; the same with more, and with fewer."""
    folder = tmp_path_factory.mktemp("rendered")
    now = partial(render, clip=clip, failed=["bad#1"], waiting=["later#1"], picked=["shot-2#2"])
    anyio.run(now, folder / "spring", ALL)
    for name, specs in {"more": [*ALL, *MORE], "fewer": DEPARTED}.items():
        shutil.copytree(folder / "spring", folder / name)
        anyio.run(now, folder / name, specs)
    return folder


@pytest.fixture
def campaign(tmp_path: Path, rendered: Path) -> Path:
    return Path(shutil.copytree(rendered / "spring", tmp_path / "outputs" / "spring"))


@pytest.fixture
def goes_on(campaign: Path, rendered: Path) -> Callable[[str], None]:
    """Have the campaign as it is after a further run."""

    def run(name: str) -> None:
        shutil.rmtree(campaign)
        shutil.copytree(rendered / name, campaign)

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def exported(campaign: Path, form: str, to: Path, *select: str, **wanted: Any) -> Exported:
    return anyio.run(export, campaign, Options(select=select), Wanted(form, to, **wanted))


def rows_of(form: str, found: dict[str, bytes]) -> list[dict[str, Any]]:
    """The rows of an export in this format, as somebody else's reader has them."""
    if form == "jsonl":
        return lines(found["videos.jsonl"])
    if form == "csv":
        text = io.StringIO(found["videos.csv"].decode(), newline="")
        return [{name: _uncelled(name, value) for name, value in row.items()} for row in csv.DictReader(text)]
    if form == "parquet":
        from pyarrow.parquet import read_table  # noqa: PLC0415

        rows: list[dict[str, Any]] = read_table(io.BytesIO(found["videos.parquet"])).to_pylist()
        return rows
    if form == "videofolder":
        return [row for path, data in sorted(found.items()) if path.endswith("metadata.jsonl") for row in lines(data)]
    return [json.loads(members["json"]) for members in samples(found).values()]


def _uncelled(name: str, text: str) -> Any:
    kind = {column.name: column.kind.value for column in COLUMNS}[name]
    if kind == "text":
        return text[1:] if text[:2] in {"'=", "'+", "'-", "'@", "'\t", "'\r"} else text
    return json.loads(text)


def samples(found: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    """The samples of all shards by key, as WebDataset groups them: neighbours with the same letters up to the dot."""
    made: dict[str, dict[str, bytes]] = {}
    for path, data in sorted(found.items()):
        if path.endswith(".tar"):
            before = ""
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                for member in tar:
                    key, _, suffix = member.name.partition(".")
                    assert (key == before) == (key in made), "a sample's members are neighbours"
                    content = tar.extractfile(member)
                    assert content is not None
                    made.setdefault(key, {})[suffix] = content.read()
                    before = key
    return made


@pytest.mark.parametrize("form", FORMATS)
def test_every_finished_video_has_its_row(campaign: Path, tmp_path: Path, form: str) -> None:
    done = exported(campaign, form, tmp_path / "made", splits=THREE)
    found = assert_whole(tmp_path / "made")
    rows = rows_of(form, found)
    assert {row["id"]: row["prompt"] for row in rows} == {one.name: one.request["prompt"] for one in SPECS}
    for row in rows:
        ROW.validate(row)
        assert list(row) == list(NAMES)
        asked = (row["width"], row["height"], row["duration_s"], row["num_frames"], row["provider"], row["model"])
        assert asked == (64, 48, 4.0, 1, "studio", "sora-2")
        assert row["created_at"] == "2027-01-15T08:00:01.000Z"
        assert row["completed_at"] == "2027-01-15T08:00:00.000Z"
    assert dict(done.videos) == Counter(row["split"] for row in rows) | Counter(dict.fromkeys(THREE.names, 0))
    assert (sum(done.videos.values()), done.failures, done.unfinished, done.orphaned) == (17, 1, 1, 0)
    assert done.exit_code == 0


@pytest.mark.parametrize("form", ["videofolder", "webdataset"])
def test_the_videos_are_those_of_the_campaign_and_takes_stay_together(
    campaign: Path, tmp_path: Path, form: str
) -> None:
    exported(campaign, form, tmp_path / "made", splits=THREE, shards=3 if form == "webdataset" else None)
    found = assert_whole(tmp_path / "made")
    sides: dict[str, set[str]] = {}
    for row in rows_of(form, found):
        assert THREE.of(row["prompt_sha256"]) == row["split"]
        sides.setdefault(row["prompt"], set()).add(row["split"])
        key = row["file_name"].removesuffix(".mp4")
        assert "." not in key
        if form == "videofolder":
            data = found[f"data/{row['split']}/{row['file_name']}"]
        else:
            sample = samples(found)[key]
            data = sample["mp4"]
            assert sample["txt"].decode() == row["prompt"]
            assert sample.keys() == {"mp4", "json", "txt"}
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
    assert [prompt for prompt, names in sides.items() if len(names) > 1] == []
    assert {name for names in sides.values() for name in names} == {*THREE.names}


def test_a_table_names_the_campaigns_own_files(campaign: Path, tmp_path: Path) -> None:
    exported(campaign, "jsonl", tmp_path / "made")
    for row in rows_of("jsonl", files(tmp_path / "made")):
        assert hashlib.sha256((campaign / row["file_name"]).read_bytes()).hexdigest() == row["sha256"]


def test_parquet_has_fixed_types(campaign: Path, tmp_path: Path) -> None:
    from pyarrow.parquet import read_schema  # noqa: PLC0415

    exported(campaign, "parquet", tmp_path / "made")
    kinds = {"text": "string", "whole number": "int64", "number": "double", "true or false": "bool"}
    read = read_schema(tmp_path / "made" / "videos.parquet")
    assert {name: str(read.field(name).type) for name in read.names} == {c.name: kinds[c.kind.value] for c in COLUMNS}


def test_no_cell_of_the_csv_is_a_formula(campaign: Path, tmp_path: Path) -> None:
    exported(campaign, "csv", tmp_path / "made")
    text = (tmp_path / "made" / "videos.csv").read_bytes().decode()
    assert text.count("\r\n") == len(SPECS) + 1
    cells = [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    assert f"'{HOSTILE}" in cells
    assert [cell for cell in cells if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}] == []


def test_failures_have_a_file_of_their_own(campaign: Path, tmp_path: Path) -> None:
    exported(campaign, "jsonl", tmp_path / "made")
    (line,) = lines(files(tmp_path / "made")["failures.jsonl"])
    assert (line["id"], line["state"], line["prompt"]) == ("bad#1", "failed", "Bad")
    assert (line["error_kind"], line["error_code"]) == ("moderation_input", "moderation_blocked")
    assert line["error_message"] == "=not this\u202e prompt"


# --- the same again, and more of it ---


@pytest.mark.parametrize("form", FORMATS)
def test_two_exports_of_the_same_are_the_same(campaign: Path, tmp_path: Path, form: str) -> None:
    one, other = tmp_path / "one", tmp_path / "below" / "other"
    exported(campaign, form, one, splits=THREE)
    exported(campaign, form, other, splits=THREE)
    first = files(one)
    assert first == files(other)
    exported(campaign, form, one, splits=THREE)
    assert first == assert_whole(one)


def test_ten_more_jobs_change_only_the_shards_they_fall_into(
    campaign: Path, tmp_path: Path, goes_on: Callable[[str], None]
) -> None:
    made = tmp_path / "made"
    exported(campaign, "webdataset", made, splits=THREE, shards=64)
    before = files(made)
    goes_on("more")
    exported(campaign, "webdataset", made, splits=THREE)  # the number of shards is remembered
    after = assert_whole(made)
    shards = {path for path in before if path.endswith(".tar")}
    changed = {path for path in after if path.endswith(".tar") and after[path] != before.get(path)}
    added = {row["id"] for path in changed for row in rows_of("webdataset", {path: after[path]})}
    assert {one.name for one in MORE} <= added
    assert len(changed) <= len(MORE)
    assert len(shards - changed) > 3
    assert shards <= after.keys()


def test_videos_are_linked_where_that_can_be_and_copied_elsewhere(campaign: Path, tmp_path: Path) -> None:
    done = exported(campaign, "videofolder", tmp_path / "made")
    assert (done.linked, done.copied) == (17, 0)
    inodes = {path.stat().st_ino for path in (campaign / "videos").glob("*.mp4")}
    assert {path.stat().st_ino for path in (tmp_path / "made" / "data" / "train").glob("*.mp4")} == inodes


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    there = Path("/dev/shm")
    if not os.access(there, os.W_OK) or there.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no other file system")
    folder = there / f"callsheet-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_on_another_file_system_videos_are_copied(campaign: Path, tmp_path: Path, elsewhere: Path) -> None:
    done = exported(campaign, "videofolder", elsewhere / "made")
    assert (done.linked, done.copied) == (0, 17)
    exported(campaign, "videofolder", tmp_path / "made")
    assert files(elsewhere / "made") == files(tmp_path / "made")


# --- what is chosen ---


@pytest.mark.parametrize(
    ("select", "picked", "chosen"),
    [
        (["shot-3"], False, {"shot-3#1", "shot-3#2"}),
        (["shot-3#2", "tag:hero"], False, {"shot-3#2", "shot-1#1", "shot-1#2"}),
        ([], True, {"shot-2#2"}),
        (["tag:hero"], True, set()),
    ],
)
def test_only_what_is_chosen_is_exported(
    campaign: Path, tmp_path: Path, select: list[str], picked: bool, chosen: set[str]
) -> None:
    for form in ("jsonl", "csv", "parquet", "videofolder", "webdataset"):
        exported(campaign, form, tmp_path / form, *select, picked=picked)
        assert {row["id"] for row in rows_of(form, assert_whole(tmp_path / form))} == chosen
        assert files(tmp_path / form)["failures.jsonl"] == b""


def test_what_fits_no_job_is_refused_and_nothing_is_made(campaign: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fits no job"):
        exported(campaign, "jsonl", tmp_path / "made", "shot-1", "nothing")
    assert names(tmp_path) == ["outputs"]


def test_what_the_manifest_no_longer_asks_for_is_counted_only(
    campaign: Path, tmp_path: Path, goes_on: Callable[[str], None]
) -> None:
    goes_on("fewer")
    done = exported(campaign, "videofolder", tmp_path / "made")
    rows = rows_of("videofolder", assert_whole(tmp_path / "made"))
    assert {row["prompt"] for row in rows if row["id"] == "shot-0#1"} == {"Another prompt"}
    assert (sum(done.videos.values()), done.orphaned) == (16, 2)


def test_columns_are_called_as_the_trainer_wants(campaign: Path, tmp_path: Path) -> None:
    renames = {"prompt": "caption", "file_name": "path"}
    for form in ("jsonl", "csv", "parquet", "webdataset"):
        exported(campaign, form, tmp_path / form, renames=renames)
        found = files(tmp_path / form)
        if form == "csv":
            assert found["videos.csv"].startswith(b"path,id,caption,model,")
        else:
            (row, *_) = rows_of(form, found)
            assert list(row)[:4] == ["path", "id", "caption", "model"]


@pytest.mark.parametrize(
    ("form", "wanted", "said"),
    [
        ("videofolder", {"renames": {"file_name": "path"}}, "--rename"),
        ("jsonl", {"renames": {"caption": "prompt"}}, "--rename"),
        ("videofolder", {"shards": 4}, "--shards"),
        ("csv", {"licence": "mit"}, "--license"),
        ("videofolder", {"licence": "mit\nx: y"}, "--license"),
    ],
)
def test_what_a_format_has_not_is_refused(
    campaign: Path, tmp_path: Path, form: str, wanted: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        exported(campaign, form, tmp_path / "made", **wanted)
    assert names(tmp_path) == ["outputs"]


def test_the_card_says_the_licence_that_was_given(campaign: Path, tmp_path: Path) -> None:
    exported(campaign, "webdataset", tmp_path / "made", licence="cc-by-4.0")
    assert "\nlicense: cc-by-4.0\n" in (tmp_path / "made" / "README.md").read_text()


# --- files that are not as they were ---


def _flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def _link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


WRONG = {
    "missing: it is not there": Path.unlink,
    "changed: it has": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "changed: its bytes": _flip,
    "missing: it is no regular file": _link,
}


@pytest.mark.parametrize("reason", WRONG)
@pytest.mark.parametrize("form", ["csv", "videofolder", "webdataset"])
def test_a_video_that_is_not_as_recorded_is_left_out_by_name(
    campaign: Path, tmp_path: Path, form: str, reason: str
) -> None:
    made = tmp_path / "made"
    WRONG[reason](campaign / "videos" / "shot-3-t1.mp4")
    done = exported(campaign, form, made)
    ((job, path, said),) = [(one.job, one.path, one.reason) for one in done.left_out]
    assert (job, path, done.exit_code, done.placed) == ("shot-3#1", "videos/shot-3-t1.mp4", 1, True)
    assert said.startswith(reason)
    found = assert_whole(made)
    assert "shot-3#1" not in {row["id"] for row in rows_of(form, found)}
    assert {line["id"]: line["state"] for line in lines(found["failures.jsonl"])} == {
        "bad#1": "failed",
        "shot-3#1": "done",
    }


def test_an_export_stays_where_the_next_one_would_leave_a_video_out(campaign: Path, tmp_path: Path) -> None:
    """It may have the last copy of a paid video."""
    made = tmp_path / "made"
    exported(campaign, "videofolder", made)
    before = files(made)
    (campaign / "videos" / "shot-3-t1.mp4").unlink()
    done = exported(campaign, "videofolder", made)
    assert (done.placed, done.exit_code) == (False, 1)
    assert assert_whole(made) == before


@pytest.mark.parametrize("since", [["completed"], ["completed", "expired"], ["completed", "lost", "planned"]])
def test_an_export_stays_where_what_is_gone_was_finished_before(
    campaign: Path, tmp_path: Path, since: list[str]
) -> None:
    """The run after may have found that the server has let it expire, and a person may have marked it for a retry."""
    made = tmp_path / "made"
    exported(campaign, "videofolder", made)
    before = files(made)
    (campaign / "videos" / "shot-3-t1.mp4").unlink()
    with closing(sqlite3.connect(campaign / "ledger.db", isolation_level=None)) as connection:
        for state in since:
            moved = "UPDATE jobs SET state = ?, approvals = approvals + (?1 = 'planned') WHERE name = 'shot-3#1'"
            connection.execute(moved, (state,))
    done = exported(campaign, "videofolder", made)
    assert ([one.job for one in done.left_out], done.placed, done.exit_code) == (["shot-3#1"], False, 1)
    assert assert_whole(made) == before


@pytest.mark.parametrize("form", ["videofolder", "webdataset", "jsonl"])
def test_an_export_stays_where_it_may_have_the_last_copy_of_what_is_not_asked_for_any_more(
    campaign: Path, tmp_path: Path, goes_on: Callable[[str], None], form: str
) -> None:
    made = tmp_path / "made"
    exported(campaign, form, made)
    before = files(made)
    goes_on("fewer")
    gone = campaign / "videos" / "shot-0-t2.mp4"
    kept = gone.rename(tmp_path / "kept.mp4")
    done = exported(campaign, form, made)
    assert (done.placed, done.exit_code) == ((True, 0) if form == "jsonl" else (False, 1)), "a table has no videos"
    assert form == "jsonl" or files(made) == before
    assert exported(campaign, form, made, "shot-5*").placed is (form == "jsonl")
    assert exported(campaign, form, tmp_path / "other").placed
    kept.rename(gone)
    assert exported(campaign, form, made, "shot-5*").placed


def test_a_video_that_has_the_name_of_another_now_is_not_taken_for_it(
    campaign: Path, tmp_path: Path, goes_on: Callable[[str], None]
) -> None:
    made = tmp_path / "made"
    exported(campaign, "videofolder", made)
    goes_on("fewer")
    old, new = campaign / "videos" / "shot-0-t1.mp4", campaign / "videos" / "shot-0-t1~2.mp4"
    old.write_bytes(new.read_bytes().ljust(old.stat().st_size, b"\0")[: old.stat().st_size])
    with closing(sqlite3.connect(campaign / "ledger.db", isolation_level=None)) as connection:
        connection.execute("UPDATE jobs SET path = 'videos/shot-0-t1.mp4' WHERE path = 'videos/shot-0-t1~2.mp4'")
    done = exported(campaign, "videofolder", made, "shot-5*")
    assert "shot-0#1" in [one.job for one in done.left_out]
    assert not done.placed


def test_of_two_requests_of_one_name_one_is_exported_and_the_other_named(
    campaign: Path, tmp_path: Path, goes_on: Callable[[str], None]
) -> None:
    """A ledger that was rebuilt from sidecars does not know which of them the manifest asks for, until it is run."""
    goes_on("fewer")
    with closing(sqlite3.connect(campaign / "ledger.db", isolation_level=None)) as connection:
        connection.execute("UPDATE jobs SET orphaned = 0")
    for form in ("videofolder", "webdataset"):
        done = exported(campaign, form, tmp_path / form)
        assert [one.job for one in done.left_out] == ["shot-0#1"]
        assert len([row for row in rows_of(form, assert_whole(tmp_path / form)) if row["id"] == "shot-0#1"]) == 1


@pytest.mark.parametrize(("form", "seen"), [("jsonl", False), ("videofolder", False), ("webdataset", True)])
def test_quick_believes_the_length_of_what_is_not_copied(campaign: Path, tmp_path: Path, form: str, seen: bool) -> None:
    _flip(campaign / "videos" / "shot-3-t1.mp4")
    assert bool(exported(campaign, form, tmp_path / "made", quick=True).left_out) == seen


# --- what is there already ---


def _stranger(made: Path) -> None:
    (made / "data" / "train" / "mine.mp4").write_bytes(b"x")


def _git(made: Path) -> None:
    (made / ".git").mkdir()
    (made / ".git" / "HEAD").write_text("ref: refs/heads/main")


def _linked_folder(made: Path) -> None:
    (made / "more").symlink_to("data")


def _changed(made: Path) -> None:
    (made / "data" / "train" / "metadata.jsonl").write_text("{}\n")


@pytest.mark.parametrize("touch", [_stranger, _git, _linked_folder, _changed])
def test_what_a_person_put_into_an_export_stays(campaign: Path, tmp_path: Path, touch: Any) -> None:
    made = tmp_path / "made"
    exported(campaign, "videofolder", made)
    touch(made)
    before = files(made)
    with pytest.raises(UsageError, match="it stays as it is"):
        exported(campaign, "videofolder", made)
    assert files(made) == before
    assert names(tmp_path) == ["made", "outputs"]


def test_a_folder_of_somebody_else_is_refused(campaign: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "thesis.doc").write_text("three years")
    with pytest.raises(UsageError, match="no export"):
        exported(campaign, "jsonl", made)
    (made / "export.json").write_text('{"kind": "something else"}')
    with pytest.raises(UsageError, match="no export"):
        exported(campaign, "jsonl", made)
    with pytest.raises(UsageError, match="is no folder"):
        exported(campaign, "jsonl", made / "thesis.doc")
    for inside in (campaign, tmp_path, campaign / "videos" / "made"):
        with pytest.raises(UsageError, match=r"no export|belongs to the campaign"):
            exported(campaign, "jsonl", inside)
    assert files(made) == {"thesis.doc": b"three years", "export.json": b'{"kind": "something else"}'}


def test_another_format_or_campaign_is_not_replaced(campaign: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    exported(campaign, "jsonl", made)
    with pytest.raises(UsageError, match="'spring' as jsonl"):
        exported(campaign, "csv", made)
    about = made / "export.json"
    about.write_text(about.read_text().replace("spring", "autumn"))
    with pytest.raises(UsageError, match="'autumn' as jsonl"):
        exported(campaign, "jsonl", made)


def test_an_empty_folder_and_a_link_to_one_are_used(campaign: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "link").symlink_to("made")
    exported(campaign, "jsonl", tmp_path / "link")
    exported(campaign, "jsonl", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert "videos.jsonl" in assert_whole(tmp_path / "made")


def test_a_card_that_a_person_wrote_is_kept(campaign: Path, tmp_path: Path, goes_on: Callable[[str], None]) -> None:
    made = tmp_path / "made"
    exported(campaign, "videofolder", made)
    own = (made / "README.md").read_text() + "\nFilmed in spring. \u00e9\n"
    (made / "README.md").write_text(own)
    goes_on("more")
    for _ in range(2):
        assert exported(campaign, "videofolder", made).kept_card
        assert assert_whole(made)["README.md"].decode() == own
        assert len(rows_of("videofolder", files(made))) == 27


def test_only_one_export_writes_to_a_place(campaign: Path, tmp_path: Path) -> None:
    lock = tmp_path / ".made.callsheet-lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another export"):
            exported(campaign, "jsonl", tmp_path / "made")
    assert not (tmp_path / "made").exists()
    exported(campaign, "jsonl", tmp_path / "made")  # one that died holds nothing
    assert_whole(tmp_path / "made")


def test_without_a_ledger_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "spring").mkdir()
    with pytest.raises(LedgerError, match="no ledger"):
        exported(tmp_path / "spring", "jsonl", tmp_path / "made")
    assert names(tmp_path) == ["spring"]


# --- whatever dies in between ---

DIES = """\
import os, resource, signal, sys
import anyio
from pathlib import Path
from pipeline.custody import Clip
from pipeline.delivery import Wanted, export
from pipeline.errors import StorageError
from pipeline.mp4 import Mp4
from pipeline.instructions import Options

campaign = Path(sys.argv[1])


def dies(step):
    steps = iter(range(step))
    count = lambda videos: next(steps, None) is None and os._exit(9)
    anyio.run(export, campaign, Options(), Wanted(form, made), count)


def fills_the_disk(size):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    full = lambda videos: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        anyio.run(export, campaign, Options(), Wanted(form, made), full)
    except StorageError:
        beside = [name for name in os.listdir(made.parent) if name.startswith(".")]
        os._exit(5 if not beside else 6)


def child(work, *given):
    process = os.fork()
    if not process:
        work(*given)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def tree():
    return {str(path): path.read_bytes() for path in made.rglob("*") if path.is_file()}


for form in sys.argv[2:]:
    made = campaign.parent / form
    before, codes = tree(), []
    for work, given in ((dies, 0), (dies, 1), (dies, 9), (dies, 18), (fills_the_disk, 0), (fills_the_disk, 3000)):
        codes.append(child(work, given))
        assert tree() == before, (form, work, given)
    print(form, *codes)
"""


def test_who_dies_in_the_middle_leaves_the_export_before(campaign: Path, goes_on: Callable[[str], None]) -> None:
    forms = ("csv", "videofolder", "webdataset")
    for form in forms:
        exported(campaign, form, campaign.parent / form)
    goes_on("more")
    ended = subprocess.run([sys.executable, "-c", DIES, campaign, *forms], capture_output=True, text=True)
    assert ended.stdout == "".join(f"{form} 9 9 9 9 5 5\n" for form in forms), ended.stderr
    for form in forms:
        exported(campaign, form, campaign.parent / form)
        assert len(rows_of(form, assert_whole(campaign.parent / form))) == 27


def test_where_folders_cannot_be_exchanged_they_are_renamed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for text in ("one", "two", "three"):
        with staged(made, exchange=lambda one, other: False) as stage:
            (stage.folder / "file").write_text(text)
        assert files(made) == {"file": text.encode()}
        assert names(tmp_path) == ["made"]


def test_who_dies_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    made, old = tmp_path / "made", tmp_path / ".made.callsheet-old"
    made.mkdir()
    (made / "file").write_text("one")
    made.rename(old)
    (tmp_path / ".made.callsheet-new").mkdir()
    with pytest.raises(KeyError), staged(made):
        raise KeyError
    assert files(tmp_path) == {"made/file": b"one"}


def test_two_folders_change_their_places(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    if exchanged(tmp_path / "one", tmp_path / "other"):
        assert files(tmp_path) == {"one/file": b"other", "other/file": b"one"}
        with pytest.raises(FileNotFoundError):
            exchanged(tmp_path / "one", tmp_path / "nothing")
    else:
        assert files(tmp_path) == {"one/file": b"one", "other/file": b"other"}


@pytest.mark.parametrize("swapped", [True, False])
def test_only_the_file_that_was_looked_at_is_taken(tmp_path: Path, clip: bytes, swapped: bool) -> None:
    """Its name may be another file's by the time that it is linked, and its bytes others when they are copied."""
    looked_at, now = tmp_path / "looked-at.mp4", tmp_path / "now.mp4"
    looked_at.write_bytes(clip)
    now.write_bytes(b"another" if swapped else clip)
    (tmp_path / "made").mkdir()
    tree = Tree(tmp_path / "made")
    with looked_at.open("rb") as file:
        one = Clip(now, file, Mp4(64, 48, 4.0))
        sha256 = hashlib.sha256(clip).hexdigest()
        assert tree.place("a.mp4", one, sha256)
        assert not tree.place("b.mp4", one, "0" * 64)
    tree.close()
    assert (tree.linked, tree.copied) == (0, 1)
    assert assert_whole(tmp_path / "made")["a.mp4"] == clip


# --- the command ---


def document(folder: Path, *arguments: str) -> dict[str, Any]:
    ended = call(folder, "export", *arguments, "--json")
    found: dict[str, Any] = json.loads(ended.stdout)
    Draft202012Validator(shipped.schema("export")).validate(found)
    assert ended.returncode == found["exit"]
    return found


def test_the_command_says_what_it_did(campaign: Path, tmp_path: Path) -> None:
    words = ["outputs/spring", "--format", "webdataset", "--to", "made", "--splits", "train=0.5,test=0.5"]
    found = document(tmp_path, *words, "--shards", "3", "--rename", "prompt=caption", "--select", "shot-*")
    assert (found["videos"], found["shards"], found["to"]) == (16, 3, str(tmp_path / "made"))
    assert sum(found["splits"].values()) == 16
    assert {row["caption"] for row in rows_of("webdataset", assert_whole(tmp_path / "made"))} == {
        f"Prompt {number}" for number in range(8)
    }
    shown = call(tmp_path, "export", "outputs/spring", "--format", "videofolder", "--to", "folder")
    assert shown.returncode == 0
    assert "17 videos" in shown.stdout
    assert "17 by a hard link" in shown.stdout
    assert "1 failed" in shown.stdout
    assert "1 still to come" in shown.stdout


def test_the_command_names_what_it_left_out(campaign: Path, tmp_path: Path) -> None:
    call(tmp_path, "export", "outputs/spring", "--format", "jsonl", "--to", "made")
    _flip(campaign / "videos" / "shot-3-t1.mp4")
    found = document(tmp_path, "outputs/spring", "--format", "jsonl", "--to", "made")
    assert (found["exit"], found["placed"], len(found["left_out"])) == (1, False, 1)
    shown = call(tmp_path, "export", "outputs/spring", "--format", "jsonl", "--to", "made")
    assert "videos/shot-3-t1.mp4: changed" in shown.stdout
    assert "stays as it was" in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--format", "jsonl"],
        ["--to", "made"],
        ["--format", "lance", "--to", "made"],
        ["--format", "jsonl", "--to", "outputs"],
        ["--format", "jsonl", "--to", "made", "--splits", "train=2"],
        ["--format", "jsonl", "--to", "made", "--rename", "prompt"],
        ["--format", "webdataset", "--to", "made", "--shards", "0"],
    ],
)
def test_a_wrong_command_line_makes_nothing(campaign: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert call(tmp_path, "export", "outputs/spring", *arguments).returncode == 2
    assert names(tmp_path) == ["outputs"]


# --- the page ---


def test_the_page_has_the_columns_and_the_formats() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text("utf-8")
    for column in COLUMNS:
        assert f"| `{column.name}` | {column.kind.value} | {column.meaning} |\n" in page
    assert page.count("\n| `") == len(COLUMNS) + len(FORMATS)
    assert all(f"| `{form}` |" in page for form in FORMATS)
