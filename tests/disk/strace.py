"""What a process did to the files of a folder, SQLite's own writes included, as strace saw it.

``traced`` runs a command under strace; ``Trace`` reads what came out, as the operations of ``operations``. What the
process sent to its server, and what it said to people, are marks among them: only a commit that was acknowledged
justifies either.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from disk.operations import (
    Acted,
    Created,
    FolderMade,
    Linked,
    ModeSet,
    Operation,
    Renamed,
    Synced,
    Truncated,
    Unlinked,
    Written,
)
from disk.platter import Disk
from disk.promises import umask

STRACE = shutil.which("strace")
_CALLS = (
    "open,openat,creat,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,"
    "fsync,fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,sendto,sendmsg"
)
_LONGEST = 1 << 26


def traced(
    command: Sequence[str],
    *,
    folder: Path,
    trace: Path,
    said: Path,
    environment: Mapping[str, str],
    more: Sequence[str] = (),
) -> int:
    """Run the command in the folder under strace, its words to people in the file ``said``; return its exit code."""
    assert STRACE is not None
    options = ["-f", "-y", "-xx", "-qq", "-s", str(_LONGEST), "-e", "signal=none", "-e", f"trace={_CALLS}", *more]
    with said.open("ab") as words:
        return subprocess.run(
            [STRACE, *options, "-o", str(trace), *command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=words,
            timeout=600,
        ).returncode


_LINE = re.compile(r"(?P<process>\d+) +(?P<rest>.*)", re.DOTALL)
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+|\?)(?P<more>.*)", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)", re.DOTALL)
_UNFINISHED = " <unfinished ...>"
_REQUEST = re.compile(rb"(GET|POST) \S*/v1/videos(?:/([^/ ]+))?(/content)? HTTP/1\.1\r\n(.*?)\r\n\r\n", re.DOTALL)
_KEY = re.compile(rb"^idempotency-key: (\w+)", re.IGNORECASE | re.MULTILINE)
_SUBMITTED = re.compile(r"^\S+ \S+ submitted  (\S+)$", re.MULTILINE)
_DONE = re.compile(r"^\S+ \S+ done  (.+)$", re.MULTILINE)


class Trace:
    """Reads traces of one folder, one after the other, into operations on its files. ``disk`` follows them."""

    def __init__(self, folder: Path, said: Path) -> None:
        self._folder, self._said = folder.resolve(), said.resolve()
        self.disk = Disk()

    def read(self, trace: Path) -> Iterator[Operation]:
        """Yield what the trace tells, in its order. A call that took long counts when it returned."""
        begun: dict[str, str] = {}
        with trace.open(encoding="ascii") as lines:
            for line in lines:
                found = _LINE.fullmatch(line.rstrip("\n"))
                assert found is not None, line[:200]
                if found["rest"].startswith("+++"):  # it has ended
                    continue
                process, rest = found["process"], found["rest"]
                if rest.endswith(_UNFINISHED):
                    begun[process] = rest.removesuffix(_UNFINISHED)
                    yield from self._heard(self._asked(begun[process]))
                    continue
                if resumed := _RESUMED.fullmatch(rest):
                    rest = begun.pop(process) + resumed["rest"]
                    yield from self._heard(self._done(rest))
                    continue
                yield from self._heard(self._asked(rest))
                yield from self._heard(self._done(rest))

    def _heard(self, operations: Iterable[Operation]) -> Iterator[Operation]:
        for operation in operations:
            self.disk.apply(operation)
            yield operation

    def _asked(self, call: str) -> Iterator[Operation]:
        """Yield what the process asks for, or lets be seen, with this call: at its beginning."""
        name, _, rest = call.partition("(")
        if name in {"sendto", "sendmsg", "write", "writev"} and '"' in rest:
            for method, video, content, headers in _REQUEST.findall(_text(rest.split('"')[1]) + b"\r\n\r\n"):
                if method == b"POST":
                    key = _KEY.search(headers)
                    assert key is not None
                    yield Acted("intended", key[1].decode())
                elif video:
                    yield Acted("completed" if content else "accepted", video.decode())
        elif name in {"link", "linkat"}:
            source = self._path(next(argument for argument in _split(rest) if argument.startswith('"')))
            if source is not None and source.endswith(".part") and ".probe" not in source:
                content = self.disk.now()[source]
                assert content is not None
                yield Acted("verified", content.sha256)

    def _done(self, text: str) -> Iterator[Operation]:
        """Yield what a call has done to the files."""
        call = _CALL.fullmatch(text)
        assert call is not None, text[:200]
        if call["result"] == "?" or int(call["result"]) < 0:
            return
        name, arguments = call["name"], _split(call["arguments"])
        if name.startswith("send"):
            return
        handler = getattr(self, f"_{name}", None)
        if handler is None:
            raise NotImplementedError(text[:200])
        yield from handler(arguments, int(call["result"]))

    def _openat(self, arguments: list[str], result: int) -> Iterator[Operation]:
        path, flags = self._path(arguments[1]), arguments[2].split("|")
        if path is None:
            return
        if path not in self.disk.nodes:
            if "O_CREAT" in flags:
                yield Created(self.disk.fresh, path, int(arguments[3], 8) & ~umask())
        elif "O_TRUNC" in flags:
            yield Truncated(self.disk.nodes[path], 0)

    def _write(self, arguments: list[str], result: int) -> Iterator[Operation]:
        data = _string(arguments[1])
        if _opened(arguments[0]) == str(self._said):
            text = data.decode()
            yield from (Acted("accepted", found) for found in _SUBMITTED.findall(text))
            yield from (Acted("published", found) for found in _DONE.findall(text))
            return
        node = self._node(arguments[0])
        if node is not None:
            yield Written(node, self.disk.size(node), data[:result])

    def _pwrite64(self, arguments: list[str], result: int) -> Iterator[Operation]:
        node = self._node(arguments[0])
        if node is not None:
            yield Written(node, int(arguments[3]), _string(arguments[1])[:result])

    def _ftruncate(self, arguments: list[str], result: int) -> Iterator[Operation]:
        node = self._node(arguments[0])
        if node is not None:
            yield Truncated(node, int(arguments[1]))

    def _fallocate(self, arguments: list[str], result: int) -> Iterator[Operation]:
        node = self._node(arguments[0])
        if node is not None and arguments[1] == "0":
            yield Truncated(node, max(self.disk.size(node), int(arguments[2]) + int(arguments[3])))

    def _fchmod(self, arguments: list[str], result: int) -> Iterator[Operation]:
        node = self._node(arguments[0])
        if node is not None:
            yield ModeSet(node, int(arguments[1], 8))

    def _fsync(self, arguments: list[str], result: int) -> Iterator[Operation]:
        node = self._node(arguments[0])
        if node is not None:
            yield Synced(node)

    _fdatasync = _fsync

    def _mkdir(self, arguments: list[str], result: int) -> Iterator[Operation]:
        path = self._path(arguments[0])
        if path is not None:
            yield FolderMade(self.disk.fresh, path)

    def _link(self, arguments: list[str], result: int) -> Iterator[Operation]:
        source, target = self._path(arguments[0]), self._path(arguments[1])
        if source is not None and target is not None:
            yield Linked(self.disk.nodes[source], target)

    def _linkat(self, arguments: list[str], result: int) -> Iterator[Operation]:
        return self._link([arguments[1], arguments[3]], result)

    def _rename(self, arguments: list[str], result: int) -> Iterator[Operation]:
        old, new = self._path(arguments[0]), self._path(arguments[1])
        if old is not None and new is not None:
            yield Renamed(old, new)

    def _unlink(self, arguments: list[str], result: int) -> Iterator[Operation]:
        path = self._path(arguments[0])
        if path is not None:
            yield Unlinked(path)

    def _path(self, argument: str) -> str | None:
        return self._inside(os.fsdecode(_string(argument)))

    def _inside(self, name: str) -> str | None:
        """Return the path below the folder, or None for one elsewhere, and for SQLite's index, which is rebuilt."""
        path = Path(os.path.abspath(self._folder / name))  # noqa: PTH100  # no link is followed
        if not path.is_relative_to(self._folder) or path.name.endswith("-shm"):
            return None
        return "" if path == self._folder else path.relative_to(self._folder).as_posix()

    def _node(self, argument: str) -> int | None:
        """Return the node of a descriptor, by the path that strace found for it."""
        opened = _opened(argument)
        path = None if opened is None or not opened.startswith("/") else self._inside(opened)
        return None if path is None else self.disk.nodes.get(path)


def _text(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _string(argument: str) -> bytes:
    assert argument.startswith('"'), argument[:100]
    assert argument.endswith('"'), "strace has cut it"
    return _text(argument[1:-1])


def _opened(argument: str) -> str | None:
    found = re.fullmatch(r"\d+<((?:\\x[0-9a-f]{2})*)>", argument)  # not where it is followed by (deleted)
    return os.fsdecode(_text(found[1])) if found else None


def _split(arguments: str) -> list[str]:
    """Return the arguments of a call. All of its texts are in hexadecimal, so a comma is a comma."""
    return arguments.split(", ")
