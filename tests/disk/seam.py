"""Where the product touches the files of one folder: each call of ``os`` on them passes through a watcher.

The call is the real one, and so is its result; a watcher looks at it, or fails in its place as the kernel would.
What Python's own file objects write is written through ``os.write``, so that it is seen too. Not seen are SQLite's
own files: SQLite calls the kernel itself.
"""

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Protocol
from unittest import mock


class Watcher(Protocol):
    def __call__(self, name: str, path: Path, arguments: tuple[Any, ...], proceed: Callable[[], Any]) -> Any:
        """Be there when ``os.<name>`` is called for a path, or for a descriptor of it; ``proceed`` makes the call."""
        ...


_BY_PATH = ("open", "mkdir", "rmdir", "unlink", "remove", "truncate", "chmod", "symlink")
_BY_NEW_PATH = ("link", "rename", "replace")
_BY_DESCRIPTOR = ("write", "pwrite", "ftruncate", "fsync", "fdatasync", "fchmod", "posix_fallocate")


@contextmanager
def watched(folder: Path, watcher: Watcher) -> Iterator[None]:
    """Have the watcher at every call that concerns a file in the folder."""
    home = folder.resolve()

    def inside(path: Path) -> bool:
        return path.is_relative_to(home)

    def around(name: str, original: Callable[..., Any], find: Callable[..., Path]) -> Callable[..., Any]:
        @wraps(original)
        def call(*arguments: Any, **more: Any) -> Any:
            assert not {"dir_fd", "src_dir_fd", "dst_dir_fd"} & more.keys(), "paths are relative to no descriptor here"
            path = find(*arguments)
            if not inside(path):
                return original(*arguments, **more)
            return watcher(name, path, arguments, lambda: original(*arguments, **more))

        return call

    replacements = {
        name: around(name, getattr(os, name), find)
        for names, find in ((_BY_PATH, _first), (_BY_NEW_PATH, _second), (_BY_DESCRIPTOR, path_of))
        for name in names
    }
    opening = _opening(inside)
    with (
        mock.patch.multiple(os, fdopen=opening, **replacements),
        mock.patch.object(io, "open", opening),
        mock.patch.object(builtins, "open", opening),
    ):
        yield


def path_of(descriptor: int, *_: Any) -> Path:
    """Return the path of an open file, as the kernel knows it."""
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115  # may be a socket's name, which is no path


def _first(path: Any, *_: Any) -> Path:
    return Path(os.path.abspath(os.fspath(path)))  # noqa: PTH100  # a link is not followed


def _second(_: Any, path: Any, *__: Any) -> Path:
    return _first(path)


class _Raw(io.FileIO):
    """A file that writes where the watcher sees it."""

    def write(self, data: Any) -> int:
        return os.write(self.fileno(), data)


def _opening(inside: Callable[[Path], bool]) -> Callable[..., Any]:
    plain = io.open

    @wraps(plain)
    def opened(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        path = path_of(file) if isinstance(file, int) else _first(file)
        if not (set(mode) & set("wax+") and inside(path)):
            return plain(file, mode, buffering, encoding, errors, newline, closefd, opener)
        assert buffering != 0
        assert "+" not in mode
        opener = opener or (lambda name, flags: os.open(name, flags, 0o666))
        raw = _Raw(file, mode.replace("t", "").replace("b", ""), closefd, None if isinstance(file, int) else opener)
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

    return opened
