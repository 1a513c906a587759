"""An interpreter that has the command imported already, and becomes a new process for every call.

    python warm.py DESCRIPTOR MODULE:FUNCTION

Half a second of imports for each of a thousand commands is more than a test may cost. Each call is a process of its
own, with its own environment, folder and streams; only what the imports made is shared, and the shipped profiles and
certificates, which never change. It ends with its caller.
"""

import gc
import importlib
import json
import os
import pkgutil
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from select import select
from tempfile import TemporaryFile
from typing import IO, Any, Self

_MOST = 1 << 20


class Process:
    """A command that was started. ``pid`` is its own."""

    def __init__(self, line: socket.socket) -> None:
        line.settimeout(30)
        self.pid = int(line.recv(100))
        self._line = line
        self._code: int | None = None
        with suppress(ProcessLookupError):  # it has ended already; another may have its number one day
            self._handle: int | None = None
            self._handle = os.pidfd_open(self.pid)

    @property
    def running(self) -> bool:
        return self._handle is not None and not select([self._handle], [], [], 0)[0]

    def send_signal(self, number: int) -> None:
        """Send a signal; nothing where the command has ended."""
        if self._handle is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def wait(self, timeout: float = 30.0) -> int:
        """Return the exit code, negative for a signal. Raises TimeoutError."""
        if self._code is None:
            self._line.settimeout(timeout)
            self._code = int(self._line.recv(100))
        return self._code

    def close(self) -> None:
        """Let nothing of it be left."""
        self.send_signal(signal.SIGKILL)
        self.wait()
        self._line.close()
        if self._handle is not None:
            os.close(self._handle)


class Warm:
    """The interpreter, started with variables of its own. Use as a context manager.

    ``main`` is what a process becomes: the command, or a function in ``tests`` that calls it.
    """

    def __init__(self, environment: Mapping[str, str], main: str = "pipeline.cli:main") -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, __file__, str(theirs.fileno()), main]
        with theirs:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._process.wait(timeout=20)

    def start(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        stdout: IO[bytes],
        stderr: IO[bytes],
        stdin: IO[bytes] | None = None,
        memory: int | None = None,
    ) -> Process:
        """Start the command in a folder, with this environment and nothing else; its output goes into two files.

        ``stdin``: what it reads, or nothing. ``memory``: the bytes of address space that it may have.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        call = {
            "arguments": [*arguments],
            "folder": str(folder),
            "environment": dict(environment),
            "memory": memory,
        }
        with theirs, Path(os.devnull).open("rb") as nothing:
            files = [(stdin or nothing).fileno(), stdout.fileno(), stderr.fileno(), theirs.fileno()]
            socket.send_fds(self._ours, [json.dumps(call).encode()], files)
        return Process(ours)

    def call(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        memory: int | None = None,
        timeout: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end and return how it ended and what it said. Raises TimeoutError."""
        with TemporaryFile() as said, TemporaryFile() as also_said:
            with closing(
                self.start(
                    arguments, folder=folder, environment=environment, stdout=said, stderr=also_said, memory=memory
                )
            ) as process:
                code = process.wait(timeout)
            words = [_words(file) for file in (said, also_said)]
        return subprocess.CompletedProcess(arguments, code, *words)


def _words(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _calls(channel: socket.socket) -> dict[str, Any] | None:
    """Return once for every call, in a process of its own; None when the caller has gone. Tells how each one ended."""
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select([channel.fileno(), *running], [], [])[0]:
            if ready in running:
                pid, line = running.pop(ready)
                _tell(line, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(ready)
                os.close(line)
                continue
            data, descriptors, _, _ = socket.recv_fds(channel, _MOST, 4)
            if not data:
                return None
            *streams, line = descriptors
            pid = os.fork()
            if pid == 0:
                for number, descriptor in enumerate(streams):
                    os.dup2(descriptor, number)
                for descriptor in (*descriptors, *running, *(line for _, line in running.values())):
                    os.close(descriptor)
                return dict(json.loads(data))
            for descriptor in streams:
                os.close(descriptor)
            _tell(line, pid)
            running[os.pidfd_open(pid)] = pid, line


def _tell(line: int, number: int) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(line, str(number).encode())


def _prepare() -> None:
    """Load what commands load when they come to it, and work out what they work out once in a process."""
    package = importlib.import_module("pipeline")
    for module in pkgutil.walk_packages(package.__path__, "pipeline."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("anyio._backends._asyncio")  # what ``anyio.run`` asks for by its name
    for name in importlib.import_module("pipeline.shipped").profile_names():
        importlib.import_module("pipeline.providers").profile(name)
    importlib.import_module("pipeline.network").DIRECT.trust()


def _main() -> int:
    _prepare()
    module, _, name = sys.argv[2].partition(":")
    main = getattr(importlib.import_module(module), name)
    gc.freeze()  # or each process copies what it only looks through
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        call = _calls(channel)
    if call is None:
        return 0
    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["folder"])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core is the process's memory, and the key is in it
    if call["memory"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (call["memory"], call["memory"]))
    code: int = main(call["arguments"])
    gc.collect()  # says what was left open, where the interpreter says such things
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking all that was imported down again costs more than most commands


if __name__ == "__main__":
    sys.exit(_main())
