"""The long forms of the proofs about disks. The short ones are the tests in this folder, and run with all others.

python tests/disk power-cut          every power cut of the real command, as strace sees its writes
python tests/disk failing-calls      every write of a run fails, with every error, once or for good
python tests/disk failing-syscalls   the same below SQLite and Python: strace answers for the kernel
python tests/disk full-disk          a small tmpfs that fills at any instant
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import click  # noqa: E402  # the path comes first

_EVERY = click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Only every Nth case.")


@click.group()
def proofs() -> None:
    """Prove what is promised about disks that lose their power, fill up, or fail."""


@proofs.command()
def power_cut() -> None:
    """Cut the power behind every operation of the real command. Needs strace."""
    _need_strace()
    from disk.powercut_traced import prove  # noqa: PLC0415  # each proof loads what it needs

    raise SystemExit(not prove(click.echo))


@proofs.command()
@_EVERY
def failing_calls(every: int) -> None:
    """Have every write of a run fail, in virtual time and by the real command."""
    from disk.failing_everywhere import prove  # noqa: PLC0415

    raise SystemExit(not prove(click.echo, every))


@proofs.command()
@_EVERY
def failing_syscalls(every: int) -> None:
    """Have system calls of the real command fail. Needs strace."""
    _need_strace()
    from disk.failing_syscalls import prove  # noqa: PLC0415

    raise SystemExit(not prove(click.echo, every))


@proofs.command()
@_EVERY
def full_disk(every: int) -> None:
    """Fill the disk of the real command. Needs mount namespaces."""
    from disk.full_disk import namespaces, prove  # noqa: PLC0415

    if namespaces() is None:
        raise click.ClickException("this machine lets nobody mount a tmpfs in a namespace (unshare -m, unshare -Urm)")
    raise SystemExit(not prove(click.echo, every))


@proofs.command(hidden=True)
@click.argument("order")
def on_a_small_disk(order: str) -> None:
    from disk.full_disk import on_a_small_disk  # noqa: PLC0415

    on_a_small_disk(order)


def _need_strace() -> None:
    from disk.strace import STRACE  # noqa: PLC0415

    if STRACE is None:
        raise click.ClickException("there is no strace on this machine (Debian: apt-get install strace)")


if __name__ == "__main__":
    proofs()
