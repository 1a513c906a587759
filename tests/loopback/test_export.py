"""A dataset from a second terminal while a real run goes on, and after it."""

import json
from pathlib import Path

from gateway import PLAIN, call, plain, simulator, start
from rendered import assert_whole, lines

MANIFEST = """\
version: 1
name: trip
provider: plain
jobs:
  - id: "shot-{{ row_number }}"
    from: prompts.txt
"""


def test_the_dataset_of_a_run_that_goes_on_is_whole(tmp_path: Path) -> None:
    (tmp_path / "trip.yaml").write_text(MANIFEST)
    (tmp_path / "plain.yaml").write_text(plain(limits={**PLAIN["limits"], "requests_per_minute": 600}))
    (tmp_path / "prompts.txt").write_text("".join(f"Prompt {number % 4}\n" for number in range(8)))
    made = ["trip.yaml", "--format", "videofolder", "--to", "made", "--splits", "train=0.5,test=0.5", "--json"]
    counts = []
    with simulator(tmp_path / "bill.db") as upstream:
        process = start(tmp_path, "run", "trip.yaml", "--profile", "plain.yaml", "--base-url", upstream, "--yes")
        while process.poll() is None:
            if (tmp_path / "outputs" / "trip" / "ledger.db").exists():
                ended = call(tmp_path, "export", *made)
                assert ended.returncode == 0, ended.stderr
                assert_whole(tmp_path / "made")
                counts.append(json.loads(ended.stdout)["videos"])
        assert process.communicate()[1] is not None
        assert process.returncode == 0
    found = json.loads(call(tmp_path, "export", *made).stdout)
    assert (found["videos"], found["linked"], found["unfinished"]) == (8, 8, 0)
    assert counts == sorted(counts)
    assert len({*counts}) > 1, "no export came in the middle of the run"
    whole = assert_whole(tmp_path / "made")
    sides: dict[str, set[str]] = {}
    for path in (path for path in whole if path.endswith("metadata.jsonl")):
        for row in lines(whole[path]):
            sides.setdefault(row["prompt"], set()).add(path)
            video = tmp_path / "outputs" / "trip" / "videos" / row["file_name"]
            assert (tmp_path / "made" / Path(path).parent / row["file_name"]).samefile(video)
    assert {len(side) for side in sides.values()} == {1}
    assert len(sides) == 4
