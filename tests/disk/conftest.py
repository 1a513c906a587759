"""Fixtures of the proofs about disks."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A folder in memory, where there is such a thing: what is shown here does not depend on the disk that it is on."""
    folder = Path(tempfile.mkdtemp(prefix="callsheet-", dir=_MEMORY if _MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)
