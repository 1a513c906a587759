"""Rows, splits, shards and cells: the same for ever, and of one type."""

import csv
import hashlib
import io
import json
import re
import tarfile
from collections import Counter
from dataclasses import replace
from random import Random

import pytest
import yaml
from jsonschema import Draft202012Validator

from pipeline import shipped
from pipeline.cards import Card, card
from pipeline.errors import UsageError
from pipeline.jobs import Job, State
from pipeline.mp4 import Mp4
from pipeline.rows import COLUMNS, NAMES, cell, key, names, row, stamp
from pipeline.sharding import END, LONGEST, header, padding, shard_of, shards_for
from pipeline.splits import ONE, splits

FOUND = Mp4(1280, 720, 4, audio=True, frames=96, fps=24, codec="h264")
REQUEST = {"model": "sora-2", "prompt": "A fox", "size": "1280x720", "seconds": "4", "seed": 7, "metadata": {"a": 1}}
JOB = Job(
    "city@dawn#2",
    "a" * 64,
    REQUEST,
    "city.mp4",
    tags=("hero, too",),
    metadata={"a": 1, "b": None},
    state=State.DONE,
    video_id="video_1",
    submitted_at=1_800_000_000.25,
    sha256="b" * 64,
    bytes=7,
    path="videos/city.mp4",
)
FACTS = {"file_name": "city__dawn-t2.mp4", "provider": "studio", "split": "train", "completed_at": 1_800_000_001.0}
POOREST = Job("x#1", "c" * 64, {"model": "m", "prompt": ""}, "x.mp4", sha256="d" * 64, bytes=1, path="videos/x.mp4")
BLIND = Mp4(1, 1, 0)


def schema_of_a_row() -> Draft202012Validator:
    return Draft202012Validator(shipped.schema("row"))


def test_a_row_says_what_was_asked_and_what_came() -> None:
    assert row(JOB, FOUND, **FACTS) == {
        "file_name": "city__dawn-t2.mp4",
        "id": "city@dawn#2",
        "prompt": "A fox",
        "model": "sora-2",
        "provider": "studio",
        "seconds": "4",
        "duration_s": 4.0,
        "width": 1280,
        "height": 720,
        "fps": 24.0,
        "num_frames": 96,
        "codec": "h264",
        "has_audio": True,
        "sha256": "b" * 64,
        "bytes": 7,
        "video_id": "video_1",
        "created_at": "2027-01-15T08:00:00.250Z",
        "completed_at": "2027-01-15T08:00:01.000Z",
        "prompt_sha256": hashlib.sha256(b"A fox").hexdigest(),
        "request_sha256": "a" * 64,
        "split": "train",
        "take": 2,
        "tags": '["hero, too"]',
        "metadata": '{"a":1,"b":null}',
        "parameters": '{"seed":7,"size":"1280x720"}',
    }


def test_every_column_has_one_type_in_every_row() -> None:
    """Readers infer a column's type from the first rows, or from one split: 4 and 4.0, or a null, would break them."""
    rich = row(JOB, FOUND, **FACTS)
    poor = row(POOREST, BLIND, **{**FACTS, "completed_at": None, "provider": ""})
    assert list(rich) == list(poor) == list(NAMES)
    assert [type(value) for value in rich.values()] == [type(value) for value in poor.values()]
    assert None not in [*poor.values()]
    for one in (rich, poor):
        schema_of_a_row().validate(one)


def test_the_schema_has_the_columns() -> None:
    schema = shipped.schema("row")
    assert schema["required"] == list(schema["properties"]) == list(NAMES)
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    assert {name: words[about["type"]] for name, about in schema["properties"].items()} == {
        column.name: column.kind.value for column in COLUMNS
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1.9996, "1970-01-01T00:00:02.000Z"), (None, ""), (1e30, ""), (float("nan"), "")],
)
def test_a_time_is_written_one_way(seconds: float | None, text: str) -> None:
    assert stamp(seconds) == text


# --- names of files ---


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("city#1", "city-t1"),
        ("city@dawn-1280x720#12", "city__dawn-1280x720-t12"),
        ("a.b#1", None),
        ("a__b#1", None),
        ("a_@b#1", None),
        ("a" * 128 + "#1", None),
        ("", None),
        ("../..#1", None),
        ("con#1", "con-t1"),
        ("\u202eé\0\n#1", None),
    ],
)
def test_a_key_is_safe_everywhere(name: str, stem: str | None) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,88}", key(name))
    assert key(name) == stem or stem is None
    header(f"{key(name)}.json", 0)


def test_no_two_names_have_one_key() -> None:
    parts = ["a", "b", "_", "@", ".", "-", "t1", "#1", "#2", "-t1", "__"]
    chance = Random(1)
    made = {"".join(chance.choices(parts, k=5)) + f"#{chance.randint(1, 2)}" for _ in range(20_000)}
    keys = Counter(key(name) for name in made)
    assert len(made) > 10_000
    assert [stem for stem, times in keys.items() if times > 1] == []


# --- cells ---


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
@pytest.mark.parametrize("quotes", ["", "'", "''"])
def test_no_cell_is_a_formula_and_each_can_be_read_back(start: str, quotes: str) -> None:
    text = f'{quotes}{start}HYPERLINK("http://x","y"),\n"z"'
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow([cell(text)])
    (read,) = next(csv.reader(io.StringIO(written.getvalue(), newline="")))
    assert read[0] == "'"
    assert read[1:] == text


@pytest.mark.parametrize("value", ["", "A fox = a vixen", "'tis", "a\n=b", 4, 4.5, -1])
def test_other_cells_are_left_alone(value: object) -> None:
    assert cell(value) == value


# --- renames ---


def test_columns_can_be_called_otherwise() -> None:
    called = names({"prompt": "caption", "sha256": "prompt"})
    assert isinstance(called, dict)
    assert (called["prompt"], called["sha256"], called["id"]) == ("caption", "prompt", "id")


@pytest.mark.parametrize(
    "renames",
    [
        {"caption": "prompt"},
        {"prompt": "id"},
        {"prompt": ""},
        {"prompt": "a b"},
        {"prompt": "first_file_name"},  # datasets would make a column of files of it
        {"prompt": "video"},
        {"prompt": "x", "id": "x"},
    ],
)
def test_what_no_column_can_be_called_is_said(renames: dict[str, str]) -> None:
    assert isinstance(names(renames), str)


# --- splits ---

HASHES = [hashlib.sha256(f"prompt {number}".encode()).hexdigest() for number in range(2000)]


def test_a_split_has_its_share_and_follows_from_the_prompt_alone() -> None:
    three = splits("train=0.8, validation=0.1,test=0.1")
    found = Counter(three.of(sha256) for sha256 in HASHES)
    assert found.keys() == {"train", "validation", "test"}
    assert 1530 < found["train"] < 1670
    assert 150 < found["test"] < 250
    assert [three.of(f"{digits:0<64}") for digits in ("0", "cccc", "cccd", "e666", "e667", "f" * 64)] == [
        *("train", "train", "validation", "validation", "test", "test")
    ]
    assert {ONE.of(sha256) for sha256 in HASHES} == {"train"}


def test_a_larger_share_takes_nothing_from_the_one_before() -> None:
    before, after = splits("train=0.5,test=0.5"), splits("train=0.6,test=0.4")
    assert {sha256 for sha256 in HASHES if before.of(sha256) == "train"} < {
        sha256 for sha256 in HASHES if after.of(sha256) == "train"
    }


def test_thirds_come_to_one_however_they_are_written() -> None:
    assert splits("a=.25,b=0.25,c=0.5").of("f" * 64) == "c"


@pytest.mark.parametrize(
    "text",
    [
        *("", "train", "train=", "train=x", "train=0.5", "train=0.8,test=0.3", "train=1,test=0", "train=-1,test=2"),
        *("train=0.5,train=0.5", "Train=1", "../x=1", "a b=1", "train=0.5;test=0.5", "=1", "train=nan", "t=1e0"),
        "train=1/2,test=1/2",
    ],
)
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--splits"):
        splits(text)


# --- shards ---


def test_a_video_stays_in_its_shard_and_twice_as_many_split_each_in_two() -> None:
    names = [f"shot-{number}#1" for number in range(4000)]
    eight = Counter(shard_of(name, 8) for name in names)
    assert eight.keys() == {*range(8)}
    assert max(eight.values()) < 600
    assert all(shard_of(name, 16) // 2 == shard_of(name, 8) for name in names)
    assert {shard_of(name, 1) for name in names} == {0}


@pytest.mark.parametrize(
    ("size", "shards"), [(0, 1), (1 << 30, 1), ((1 << 30) + 1, 2), (5 << 30, 8), (1 << 40, 1024), (1 << 60, 65536)]
)
def test_a_shard_has_about_a_gibibyte(size: int, shards: int) -> None:
    assert shards_for(size) == shards


def test_what_is_written_is_a_tar() -> None:
    data = b"not a block"
    whole = header("a.mp4", len(data)) + data + padding(len(data)) + header("a.txt", 0) + END
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        members = tar.getmembers()
        assert [(one.name, one.size, one.mode, one.mtime, one.uid, one.uname) for one in members] == [
            ("a.mp4", len(data), 0o644, 0, 0, ""),
            ("a.txt", 0, 0o644, 0, 0, ""),
        ]
        content = tar.extractfile(members[0])
        assert content is not None
        assert content.read() == data


def test_what_a_tar_cannot_say_is_refused() -> None:
    header("a.mp4", LONGEST)
    for name, size in (("a.mp4", LONGEST + 1), ("a" * 101, 0)):
        with pytest.raises(ValueError, match=r"overflow|too long"):
            header(name, size)


# --- the card ---


def front_matter(told: Card) -> tuple[dict[str, object], str]:
    _, front, body = card(told).split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_tells_the_hub_what_is_where() -> None:
    three = splits("train=0.8,validation=0.1,test=0.1")
    called = names({"prompt": "caption"})
    assert isinstance(called, dict)
    videos = {"train": 1000, "validation": 0, "test": 3}
    told = Card("spring", "cc-by-4.0", videos, 7200, ["sora-2", "a`b|\n# c"], three.rule, "data/{split}/**", called)
    front, body = front_matter(told)
    assert front == {
        "license": "cc-by-4.0",
        "pretty_name": "spring",
        "task_categories": ["text-to-video"],
        "tags": ["synthetic", "video"],
        "size_categories": ["1K<n<10K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "data/train/**"},
                    {"split": "test", "path": "data/test/**"},
                ],
            }
        ],
    }
    assert "`sora-2`, `a?b??# c`" in body
    assert "`train` from 0 up to 0.8" in body
    assert "| `caption` | text | the prompt as it was sent |" in body


def test_a_card_of_nothing_names_no_files() -> None:
    told = Card("spring", "unknown", {"train": 0}, 0, [], ONE.rule, "x", dict(zip(NAMES, NAMES, strict=True)))
    front, body = front_matter(told)
    assert "configs" not in front
    assert front["size_categories"] == ["n<1K"]
    assert "No licence is stated" in body


def test_a_row_without_a_take_in_its_name_is_a_first_take() -> None:
    assert row(replace(JOB, name="odd"), FOUND, **FACTS)["take"] == 1
    assert json.loads(row(replace(JOB, tags=()), FOUND, **FACTS)["tags"]) == []
