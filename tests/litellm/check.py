"""A LiteLLM proxy between Callsheet and the simulator: a campaign completes, and every error is shown as what it is.

    python tests/litellm/check.py                              # all versions, both kinds of deployment: ten minutes
    python tests/litellm/check.py --versions 1.81.10 --venvs ~/litellm    # one version; its environment is kept

Needs the package index: each version is installed with pip into an environment of its own. Nothing else leaves the
machine. It is no part of the tests; docs/litellm.md has its last result.

Prints a table, and ends with 0 where all is as ``scenes`` expects, with 1 where it is not; the folders are kept then.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from campaign import campaign
from installs import installed
from scenes import DEPLOYMENTS, OLD, SCENES, of
from servers import proxy, simulator
from table import Place, Row, markdown
from trials import trial

VERSIONS = (OLD, "1.106.2", "1.108.7")
"""The first two are those that the simulator imitates."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", nargs="+", default=VERSIONS, metavar="VERSION", help="of LiteLLM")
    parser.add_argument("--deployments", nargs="+", default=DEPLOYMENTS, choices=DEPLOYMENTS)
    parser.add_argument("--venvs", type=Path, metavar="DIR", help="make the environments here, and keep them")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where the folders of the trials are made")
    parser.add_argument("--keep", action="store_true", help="keep them")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    work = Path(tempfile.mkdtemp(prefix="callsheet-litellm-", dir=options.work))
    environments = options.venvs.absolute() if options.venvs else work / "environments"
    began, rows = time.monotonic(), list[Row]()
    for version in options.versions:
        binaries = installed(version, environments)
        for deployment in options.deployments:
            rows += _tried(version, deployment, binaries, work)
    wrong = [row for row in rows if row.wrong]
    sys.stdout.write(markdown(rows))
    sys.stdout.flush()
    for row in wrong:
        _tell(f"WRONG  {row.place.version} {row.place.deployment}, {row.what}: {'; '.join(row.wrong)}")
    _tell(f"{len(rows)} rows, {len(wrong)} wrong, {time.monotonic() - began:.0f} s")
    if wrong or options.keep:
        _tell(f"kept in {work}")
    else:
        shutil.rmtree(work)
    return int(bool(wrong))


def _tried(version: str, deployment: str, binaries: Path, work: Path) -> Iterator[Row]:
    folder = work / f"{version}-{deployment}"
    folder.mkdir()
    with simulator(folder) as upstream, proxy(binaries, deployment, upstream.url, folder) as gateway:
        place = Place(version, deployment, gateway, upstream, folder)
        scenes = [scene for scene in SCENES if of(scene.expected, version)]
        for row in chain([campaign(place)], (trial(place, scene) for scene in scenes)):
            _tell(f"{version} {deployment:8}{'WRONG' if row.wrong else 'ok':7}{row.what}")
            yield row


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
