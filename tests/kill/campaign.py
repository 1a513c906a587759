"""The kill campaign: the real command is killed a thousand times, and the server's bill says what that cost.

    python tests/kill/campaign.py --kills 1000 --each 10    # the long form: some minutes
    python tests/kill/campaign.py --kills 150 --each 1      # the short form, which the tests run

A kill counts where a job was between intent and done. Half of them meet a server that lists its videos, half one that
does not, and it goes on until every failpoint has had its kills. A naive script goes through the same as the control:
a campaign in which it pays nothing twice has proved nothing.

Ends with 0 where all is as promised, with 1 where it is not; the folders of the trials that went wrong are kept then.
``--only KIND:INDEX`` with the options and the seed of a campaign repeats one of its trials; ``--json`` has every kill,
when it came and what it met.
"""

import argparse
import json
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import report
from subjects import Callsheet, Naive
from tally import Kind, Tally
from trial import Trial, conduct, planned
from verdict import Counts, judged

LANES = 2
"""Ledgers at the same time."""


class Campaign:
    """Trials side by side until every tally has what it needs."""

    def __init__(self, options: argparse.Namespace, work: Path, tallies: list[Tally]) -> None:
        self._options, self._work, self._tallies = options, work, tallies
        self._stop = Event()

    def run(self) -> None:
        """Raises what a trial raised: that is a mistake in the campaign, and no finding."""
        with ThreadPoolExecutor(LANES) as lanes:
            under_way: dict[Future[tuple[Trial, Counts]], Tally] = {}
            try:
                while True:
                    while len(under_way) < LANES and (tally := self._neediest()) is not None:
                        under_way[lanes.submit(self.trial, tally, tally.begun)] = tally
                        tally.begun += 1
                    if not under_way:
                        return
                    for ended in wait(under_way, return_when=FIRST_COMPLETED).done:
                        tally = under_way.pop(ended)
                        tally.add(*ended.result())
                        _say(tally)
            finally:
                self._stop.set()

    def _neediest(self) -> Tally | None:
        wanting = [tally for tally in self._tallies if tally.wants and not tally.is_hopeless]
        return max(wanting, key=lambda tally: tally.wants, default=None)

    def trial(self, tally: Tally, index: int) -> tuple[Trial, Counts]:
        """Conduct the trial with this index and judge it. Its folder is gone where all is well."""
        kind, name = tally.kind, f"{tally.kind}:{index}"
        seed, folder = f"{self._options.seed}/{name}", self._work / name.replace(":", "-")
        folder.mkdir()
        subject = _subject(kind, index, name, folder)
        kills = planned(seed, tally.failpoints, index, tally.share)[: tally.kills]
        trial = Trial(name, folder)
        conduct(trial, subject, seed=seed, kills=kills, faults=self._options.faults, stop=self._stop)
        counts = judged(trial, subject)
        if kind is Kind.CONTROL or not (counts.wrong or self._options.keep):
            shutil.rmtree(folder)
        return trial, counts


def _subject(kind: Kind, index: int, name: str, folder: Path) -> Callsheet | Naive:
    """Return what this trial kills. It has so many jobs that few are left after the last kill."""
    if kind is Kind.CONTROL:
        return Naive(name, folder, jobs=40)
    if kind is Kind.NO_LIST:
        return Callsheet(name, folder, prompts=90)  # each kill may hold four of them
    if index % 3 == 1:
        return Callsheet(name, folder, prompts=40, takes=2, listing=True)
    return Callsheet(name, folder, prompts=80, listing=True, resubmit=index % 3 == 2)


def _say(tally: Tally) -> None:
    trial = tally.trials[-1]
    states = ", ".join(f"{number} {state}" for state, number in sorted(trial.finished.items()))
    wrong = f" WRONG: {tally.wrong[trial.name]}" if trial.name in tally.wrong else ""
    missed = f"; not reached: {', '.join(trial.missed)}" if trial.missed else ""
    what = f"{len(trial.kills)} kills in {trial.killing:.0f} s, over after {trial.seconds:.0f} s and {trial.runs} runs"
    _tell(f"{trial.name}: {what}; {states}{missed}{wrong}")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _tallies(options: argparse.Namespace) -> list[Tally]:
    kinds = {"both": [Kind.LIST, Kind.NO_LIST], "list": [Kind.LIST], "no-list": [Kind.NO_LIST]}[options.server]
    ours = [Tally.of(kind, kills=-(-options.kills // len(kinds)), each=options.each) for kind in kinds]
    return [*ours, Tally.of(Kind.CONTROL, kills=options.control, each=0)]


def _broken_promises(tallies: list[Tally]) -> Iterator[str]:
    for tally in tallies:
        if tally.kind is Kind.CONTROL:
            if tally.kills and not tally.counts.paid_twice:
                yield "the control paid nothing twice: this campaign proves nothing"
        else:
            yield from (f"{name}: {wrong}" for name, wrong in tally.wrong.items())
            if tally.too_few:
                yield f"{tally.kind}: too few kills at {', '.join(tally.too_few)}"
        if tally.counted < tally.kills:
            yield f"{tally.kind}: {tally.counted} kills, not {tally.kills}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="kills that count, over both servers")
    parser.add_argument("--each", type=int, default=10, help="of them at least so many at each failpoint, per server")
    parser.add_argument("--control", type=int, default=50, help="kills of the naive script")
    parser.add_argument("--server", choices=["both", "list", "no-list"], default="both")
    parser.add_argument("--faults", type=float, default=0.08, help="share of POSTs that something happens to")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="default: another one each time")
    parser.add_argument("--only", metavar="KIND:INDEX", help="repeat one trial of a campaign with these options")
    parser.add_argument("--work", type=Path, help="where the trials' folders are made")
    parser.add_argument("--keep", action="store_true", help="keep every folder")
    parser.add_argument("--json", action="store_true", help="one document on standard output")
    return parser.parse_args()


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    work = Path(tempfile.mkdtemp(prefix="kill-campaign-", dir=options.work))
    tallies = _tallies(options)
    began = time.monotonic()
    campaign = Campaign(options, work, tallies)
    if options.only:
        kind, _, index = options.only.partition(":")
        (tally,) = tallies = [tally for tally in tallies if tally.kind == kind]
        tally.add(*campaign.trial(tally, int(index)))
        _say(tally)
        tally.kills = tally.each = 0  # it is one of many: nothing is missing
    else:
        campaign.run()
    seconds = time.monotonic() - began
    broken = list(_broken_promises(tallies))
    found = report.document(tallies, seed=options.seed, seconds=seconds) | {"broken": broken}
    shown = json.dumps(found, indent=2) if options.json else report.text(tallies, seed=options.seed, seconds=seconds)
    sys.stdout.write(f"{shown}\n")
    for line in broken:
        _tell(line)
    if any(work.iterdir()):
        _tell(f"kept in {work}; the same options with --only KIND:INDEX repeat one of them")
    else:
        work.rmdir()
    return int(bool(broken))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
