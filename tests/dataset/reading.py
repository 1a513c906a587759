"""Reads the exports in a folder with other people's libraries, and prints what each of them found.

Run by ``check``, with a Python that has them, offline.
"""

import csv
import json
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import datasets
import duckdb
import pandas as pd
import webdataset

SPLITS = ("train", "validation", "test")
COUNT = 24


def by_split(prompts: dict[str, list[str]]) -> Counter[str]:
    """How many there are in each split; no prompt may be in two."""
    sides: dict[str, set[str]] = {}
    for split, some in prompts.items():
        for prompt in some:
            sides.setdefault(prompt, set()).add(split)
    assert {len(side) for side in sides.values()} == {1}, "a prompt straddles two splits"
    counted = Counter({split: len(some) for split, some in prompts.items()})
    assert counted.total() == COUNT, counted
    return counted


def told(library: str, what: str, counted: Counter[str]) -> None:
    shares = ", ".join(f"{split} {counted[split]}" for split in SPLITS if counted[split])
    sys.stdout.write(f"{library} {version(library)}: {what}: {counted.total()} rows ({shares})\n")


def read_videofolder(folder: Path) -> Counter[str]:
    loaded = datasets.load_dataset(str(folder))
    prompts = {}
    for split, part in loaded.items():
        plain = part.cast_column("video", datasets.Video(decode=False))
        prompts[split] = list(plain["prompt"])
        for row in plain:
            assert Path(row["video"]["path"]).stat().st_size == row["bytes"]
            assert isinstance(json.loads(row["tags"]), list)
            assert (type(row["seconds"]), type(row["duration_s"])) == (str, float)
    return by_split(prompts)


def read_streamed(folder: Path) -> Counter[str]:
    loaded = datasets.load_dataset(str(folder), streaming=True)
    return by_split(
        {
            split: [row["prompt"] for row in part.cast_column("video", datasets.Video(decode=False))]
            for split, part in loaded.items()
        }
    )


def read_shards_as_datasets(folder: Path) -> Counter[str]:
    loaded = datasets.load_dataset(str(folder))
    prompts = {}
    for split, part in loaded.items():
        plain = part.cast_column("mp4", datasets.Video(decode=False))
        assert all(row["txt"] == row["json"]["prompt"] for row in plain)
        prompts[split] = list(plain["txt"])
    return by_split(prompts)


def read_shards(folder: Path) -> Counter[str]:
    prompts: dict[str, list[str]] = {}
    for split in SPLITS:
        shards = sorted(str(path) for path in (folder / "data" / split).glob("*.tar"))
        samples = webdataset.WebDataset(shards, shardshuffle=False).decode() if shards else []
        for sample in samples:
            assert len(sample["mp4"]) == sample["json"]["bytes"]
            assert sample["txt"] == sample["json"]["prompt"]
            prompts.setdefault(split, []).append(sample["txt"])
    return by_split(prompts)


def read_csv(path: Path) -> Counter[str]:
    table = pd.read_csv(path, keep_default_na=False)
    with path.open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(table)
    odd = table[table["id"].str.startswith("a.b")]
    assert {prompt[:5] for prompt in odd["prompt"]} == {"'=cmd"}
    return by_split({split: list(part["prompt"]) for split, part in table.groupby("split")})


def read_by_duckdb(path: Path) -> Counter[str]:
    rows = duckdb.execute(f"SELECT split, prompt, bytes, has_audio, duration_s FROM '{path}'").fetchall()
    assert {tuple(type(value) for value in row[2:]) for row in rows} == {(int, bool, float)}
    prompts: dict[str, list[str]] = {}
    for split, prompt, *_ in rows:
        prompts.setdefault(split, []).append(prompt)
    return by_split(prompts)


def main(work: Path) -> None:
    told("datasets", "videofolder", read_videofolder(work / "videofolder"))
    told("datasets", "videofolder, streamed", read_streamed(work / "videofolder"))
    told("datasets", "webdataset", read_shards_as_datasets(work / "webdataset"))
    told("webdataset", "webdataset", read_shards(work / "webdataset"))
    told("pandas", "csv", read_csv(work / "csv" / "videos.csv"))
    table = pd.read_json(work / "jsonl" / "videos.jsonl", lines=True, dtype=False)
    told("pandas", "jsonl", by_split({split: list(part["prompt"]) for split, part in table.groupby("split")}))
    told("duckdb", "parquet", read_by_duckdb(work / "parquet" / "videos.parquet"))
    told("duckdb", "jsonl", read_by_duckdb(work / "jsonl" / "videos.jsonl"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
