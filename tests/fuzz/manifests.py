"""Mutated manifests: whatever is written in the files, the check ends with jobs or with problems at their places.

    python tests/fuzz/manifests.py --cases 1000000 --seed 7 --keep failures/

A case is made by its seed and number alone: ``--first 4711 --cases 1`` makes that one again. What breaks a promise, or
raises what nobody promised, is said with its number, and its files are written to the folder of ``--keep``.
"""

import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import click
from fuzz import mutation, promises


def case(number: int, seed: int, known: list[mutation.Example]) -> tuple[str, dict[str, bytes]]:
    """Return the name of a case's manifest, and its files."""
    random = Random(f"{seed}/{number}")
    example = random.choices(known, [min(4, len(example.files)) for example in known])[0]
    return example.manifest, mutation.mutated(example, random)


def write(folder: Path, written: Mapping[str, bytes], before: Mapping[str, bytes]) -> None:
    """Write the files of a case; ``before`` are those that lie there."""
    for name in before.keys() - written.keys():
        (folder / name).unlink()
    for name, data in written.items():
        if before.get(name) != data:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def failures(folder: Path, numbers: range, seed: int, rules: Counter[str]) -> Iterator[tuple[int, str, str]]:
    """Check the cases in a folder, and yield number, manifest and what went wrong. ``rules`` counts what was found."""
    known, lying = mutation.examples(), dict[str, bytes]()
    for number in numbers:
        manifest, written = case(number, seed, known)
        write(folder, written, lying)
        lying = written
        try:
            loaded, problems = promises.outcome(folder / manifest)
            wrong = promises.judged(folder / manifest, loaded, problems)
        except Exception:  # noqa: BLE001  # whatever it is, it is the finding
            yield number, manifest, traceback.format_exc()
            continue
        rules.update({problem.rule for problem in problems} or {"good"})
        if wrong:
            yield number, manifest, "\n".join(wrong)


@click.command(help=__doc__)
@click.option("--cases", default=20_000, show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option("--first", default=0, show_default=True, help="The number of the first case.")
@click.option("--keep", type=click.Path(path_type=Path), help="A folder for the files of what fails.")
@click.option("--most", default=20, show_default=True, help="Failures to stop after.")
def main(cases: int, seed: int, first: int, keep: Path | None, most: int) -> None:
    began, rules, failed = time.monotonic(), Counter[str](), 0
    known = mutation.examples()
    with tempfile.TemporaryDirectory() as folder:
        for number, manifest, why in failures(Path(folder), range(first, first + cases), seed, rules):
            failed += 1
            click.echo(f"--seed {seed} --first {number} --cases 1: {manifest}\n{why}\n")
            if keep:
                write(keep / f"{seed}-{number}", case(number, seed, known)[1], {})
            if failed >= most:
                break
    for rule, count in rules.most_common():
        click.echo(f"{count:8} {rule}")
    click.echo(f"{sum(rules.values())} outcomes; {failed} failures; {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
