"""A model of what a disk may hold after the power went: everything that was synced, and any part of the rest.

The letter of POSIX: an fsync of a file saves its bytes and its mode, an fsync of a folder saves its entries, and
nothing else is promised. Bytes that were not synced may be there, be there in part (torn at 512 bytes), or be zeros
in a file that has already grown; entries that were not synced may be there in any combination.

``journal`` is the milder law of the file systems that people have (ext4, XFS, btrfs): the entries of a folder come
to the disk in the order in which they were made, and an fsync saves the names that lead to what is synced as well.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, product
from random import Random

from disk.operations import (
    Acted,
    Created,
    FolderMade,
    Linked,
    ModeSet,
    Operation,
    Recorded,
    Recording,
    Renamed,
    Synced,
    Truncated,
    Unlinked,
    Written,
)

SECTOR = 512
_EVERY_SUBSET_UP_TO = 5
SAMPLES = 6
_PRODUCTS_UP_TO = 48


@dataclass(frozen=True)
class Content:
    """The bytes and the mode of a file."""

    data: bytes = b""
    mode: int = 0o600

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


State = Mapping[str, Content | None]
"""What lies where after a power cut, by path; None is a folder."""

Signature = frozenset[tuple[str, str, int]]


def signature(state: State) -> Signature:
    """Return what two states have in common that are the same. It holds no bytes: there are many states."""
    return frozenset(
        (path, "a folder", 0) if content is None else (path, content.sha256, content.mode)
        for path, content in state.items()
    )


_Entries = Mapping[str, int]
_Edit = Written | Truncated | ModeSet


@dataclass
class _File:
    """``saved`` is on the platter, ``loose`` is not yet. ``outcomes`` are kept: most nodes do not change for long."""

    saved: Content
    loose: list[_Edit] = field(default_factory=list)
    kept: tuple[Content, ...] | None = None

    def outcomes(self, rng: Random, samples: int) -> tuple[Content, ...]:
        if self.kept is None:
            self.kept = tuple(dict.fromkeys(self._outcomes(rng, samples)))
        return self.kept

    def _outcomes(self, rng: Random, samples: int) -> Iterator[Content]:
        """Yield what the file may be, from nothing saved to everything."""
        yield self.saved
        if not self.loose:
            return
        count = len(self.loose)
        full = _edited(self.saved, self.loose)
        for length in _spread(1, count, samples):
            yield _edited(self.saved, self.loose[:length])
        for gap in _spread(0, count, samples):
            yield _edited(self.saved, self.loose[:gap] + self.loose[gap + 1 :])
        for torn in _spread(0, count, samples):
            edit = self.loose[torn]
            if isinstance(edit, Written):
                for cut in _cuts(edit.data):
                    yield _edited(self.saved, [*self.loose[:torn], Written(edit.node, edit.offset, edit.data[:cut])])
                    yield _edited(
                        self.saved,
                        [
                            *self.loose[:torn],
                            Written(edit.node, edit.offset + cut, edit.data[cut:]),
                            *self.loose[torn + 1 :],
                        ],
                    )
        yield Content(self.saved.data[: len(full.data)].ljust(len(full.data), b"\0"), full.mode)
        yield Content(full.data, self.saved.mode)
        for _ in range(samples):
            yield _edited(self.saved, [edit for edit in self.loose if rng.random() < 0.5])
        yield full


@dataclass
class _Folder:
    """A change maps names to nodes, or to None where the name is taken away; a rename is one change of two names."""

    saved: dict[str, int] = field(default_factory=dict)
    loose: list[Mapping[str, int | None]] = field(default_factory=list)
    kept: tuple[_Entries, ...] | None = None

    @property
    def now(self) -> _Entries:
        return _changed(self.saved, self.loose)

    def outcomes(self, rng: Random, *, ordered: bool) -> tuple[_Entries, ...]:
        if self.kept is None:
            found = {tuple(sorted(entries.items())): entries for entries in self._outcomes(rng, ordered=ordered)}
            self.kept = tuple(found.values())
        return self.kept

    def _outcomes(self, rng: Random, *, ordered: bool) -> Iterator[_Entries]:
        count = len(self.loose)
        if ordered or count > _EVERY_SUBSET_UP_TO:
            for length in range(count + 1):
                yield _changed(self.saved, self.loose[:length])
        if ordered:
            return
        if count <= _EVERY_SUBSET_UP_TO:
            for length in range(count + 1):
                for chosen in combinations(self.loose, length):
                    yield _changed(self.saved, chosen)
            return
        for gap in range(count):
            yield _changed(self.saved, self.loose[:gap] + self.loose[gap + 1 :])
        for _ in range(2 * SAMPLES):
            yield _changed(self.saved, [change for change in self.loose if rng.random() < 0.5])


ROOT = 0


class Disk:
    """The folder that is watched, with what is saved and what is loose. ``apply`` operations; ask for ``states``."""

    def __init__(self, state: State | None = None, *, journal: bool = False, samples: int = SAMPLES) -> None:
        """``state`` lies on the platter already; ``nodes`` says which node each of its paths is.

        ``samples``: how many of each kind of loss are looked at where there are many.
        """
        self._journal = journal
        self._rng, self._samples = Random(1), samples
        self._folders = {ROOT: _Folder()}
        self._files: dict[int, _File] = {}
        self.nodes: dict[str, int] = {"": ROOT}
        for path, content in sorted((state or {}).items()):
            node = self.nodes[path] = len(self.nodes)
            if content is None:
                self._folders[node] = _Folder()
            else:
                self._files[node] = _File(content)
            folder, name = self._place(path)
            folder.saved[name] = node

    def apply(self, operation: Operation) -> None:
        match operation:
            case Created(node, path, mode):
                self._files[node] = _File(Content(b"", mode))
                self._enter(path, {path: node})
            case FolderMade(node, path):
                self._folders[node] = _Folder()
                self._enter(path, {path: node})
            case Linked(node, path):
                self._enter(path, {path: node})
            case Unlinked(path):
                self._enter(path, {path: None})
            case Renamed(old, new):
                if _parent(old) != _parent(new):
                    raise NotImplementedError("a rename into another folder")
                self._enter(old, {old: None, new: self.nodes[old]})
            case Written(node) | Truncated(node) | ModeSet(node):
                file = self._files[node]
                file.loose.append(operation)
                file.kept = None
            case Synced(node):
                self._sync(node)
            case Recording() | Recorded() | Acted():
                pass

    @property
    def fresh(self) -> int:
        """A number that no node has had."""
        return max([*self._folders, *self._files]) + 1

    def states(self) -> Iterator[State]:
        """Yield what a power cut may leave now.

        Each node has its outcomes, from nothing saved to everything. All of their combinations where these are few;
        else each node's outcomes with the worst and with the best of the others, and some at random.
        """
        choices: dict[int, tuple[Content, ...] | tuple[_Entries, ...]] = {
            node: folder.outcomes(self._rng, ordered=self._journal)
            for node, folder in self._folders.items()
            if folder.loose
        } | {node: file.outcomes(self._rng, self._samples) for node, file in self._files.items() if file.loose}
        worst = {node: found[0] for node, found in choices.items()}
        best = {node: found[-1] for node, found in choices.items()}
        count = 1
        for found in choices.values():
            count *= len(found)
        if count <= _PRODUCTS_UP_TO:
            for chosen in product(*choices.values()):
                yield self._state(dict(zip(choices, chosen, strict=True)))
            return
        yield self._state(worst)
        yield self._state(best)
        for node, found in choices.items():
            for outcome in found:
                yield self._state({**worst, node: outcome})
                yield self._state({**best, node: outcome})
        for _ in range(self._samples):
            yield self._state({node: self._rng.choice(found) for node, found in choices.items()})

    def name(self, node: int) -> str:
        """Return a path that leads to the node while the power is on."""
        return next(path for path, there in self.nodes.items() if there == node)

    def size(self, node: int) -> int:
        """Return how long a file is while the power is on."""
        return len(_edited(self._files[node].saved, self._files[node].loose).data)

    def worst(self) -> State:
        """Return what is there when nothing survives that was not synced."""
        return self._state({})

    def now(self) -> State:
        """Return what is there while the power is on."""
        return self._state(
            {node: folder.now for node, folder in self._folders.items() if folder.loose}
            | {node: _edited(file.saved, file.loose) for node, file in self._files.items() if file.loose}
        )

    def _state(self, chosen: Mapping[int, Content | _Entries]) -> State:
        return dict(self._below("", ROOT, chosen))

    def _below(
        self, path: str, node: int, chosen: Mapping[int, Content | _Entries]
    ) -> Iterator[tuple[str, Content | None]]:
        entries = chosen.get(node, self._folders[node].saved)
        assert not isinstance(entries, Content)
        for name, child in entries.items():
            below = f"{path}/{name}" if path else name
            if child in self._folders:
                yield below, None
                yield from self._below(below, child, chosen)
            else:
                content = chosen.get(child, self._files[child].saved)
                assert isinstance(content, Content)
                yield below, content

    def _enter(self, path: str, entries: Mapping[str, int | None]) -> None:
        folder, _ = self._place(path)
        folder.loose.append({name.rpartition("/")[2]: node for name, node in entries.items()})
        folder.kept = None
        for name, node in entries.items():
            if node is None:
                del self.nodes[name]
            else:
                self.nodes[name] = node

    def _place(self, path: str) -> tuple[_Folder, str]:
        return self._folders[self.nodes[_parent(path)]], path.rpartition("/")[2]

    def _sync(self, node: int) -> None:
        self._save(node)
        if self._journal:
            for path in [path for path, there in self.nodes.items() if there == node]:
                for folder in _above(path):
                    self._save(self.nodes[folder])

    def _save(self, node: int) -> None:
        if node in self._folders:
            folder = self._folders[node]
            folder.saved, folder.loose, folder.kept = dict(folder.now), [], None
        else:
            file = self._files[node]
            file.saved, file.loose, file.kept = _edited(file.saved, file.loose), [], None


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _above(path: str) -> Iterator[str]:
    """Yield the folders that the path leads through, the nearest one first."""
    while path:
        path = _parent(path)
        yield path


def _edited(content: Content, edits: Iterable[_Edit]) -> Content:
    data, mode = bytearray(content.data), content.mode
    for edit in edits:
        match edit:
            case Written(_, offset, written):
                data.extend(bytes(max(0, offset - len(data))))
                data[offset : offset + len(written)] = written
            case Truncated(_, size):
                data[size:] = bytes(max(0, size - len(data)))
            case ModeSet(_, mode):
                pass
    return Content(bytes(data), mode)


def _changed(entries: _Entries, changes: Iterable[Mapping[str, int | None]]) -> _Entries:
    found = dict(entries)
    for change in changes:
        for name, node in change.items():
            if node is None:
                found.pop(name, None)
            else:
                found[name] = node
    return found


def _spread(first: int, end: int, few: int) -> list[int]:
    """Return a few of the numbers from ``first`` up to ``end``: all where they are few, the outermost in any case."""
    count = end - first
    if count <= few:
        return list(range(first, end))
    return sorted({first + round(step * (count - 1) / (few - 1)) for step in range(few)})


def _cuts(data: bytes) -> list[int]:
    """Return where a write may be torn: after its first sector, in its middle, before its last one."""
    sectors = -(-len(data) // SECTOR)
    return sorted({SECTOR * cut for cut in (1, sectors // 2, sectors - 1) if 0 < cut < sectors})
