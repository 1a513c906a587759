"""The floors of docs/design.md, and what may be used where: read from the syntax trees, nothing is imported."""

import ast
import fnmatch
import graphlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pipeline"

#: Every module or package, lowest floor first. Imports point down; a new module is given its place here.
FLOORS = [
    "errors jobs envelopes classes videos",
    """source document syntax scalars sayings hints templates tables naming filenames compiled breaches validation
       expansion manifest drafts making matrix advice images references edits explaining profile soundness bodies
       culprits outcomes credential mp4 events evidence decisions policies pacing plan limits choices pinning blocking
       retrying summary
       actions breakers listing matching answers audits sidecars clock rules annotations comparing symptoms
       diagnosis outlines changes costs timing previews saved tally onlookers exposition boxes rows splits sharding
       cards neutral spelling packing firsts pairing judging""",
    """client connections gets probing network redirects shipped providers files folder including parquet pages starter
        inputs outputs parts disk custody planfiles staging ledger simulator traffic trails campaign instructions""",
    """steps polling runner supervision fixing checking preparation reconciliation surroundings inquiry rebuilding
       examining clearing origins journal logbook metering trial formats replacing rejections locks report
       residence""",
    "commands resolving aftercare authoring doctor planning watching delivery selecting locking reporting",
    """render sentences live progress attending documents stories handover descriptions plans options replies
       servers manifests keeping handouts results
       campaigns standing cli""",
    "__main__",
]
#: Modules on these floors may import one another, but never in a circle.
MINGLING = {0, 1}
#: The only imports across one of the other floors.
ACROSS = {
    ("trial", "clearing"),
    ("client", "connections"),
    ("client", "redirects"),
    ("client", "network"),
    ("client", "traffic"),
    ("connections", "gets"),
    ("connections", "network"),
    ("probing", "network"),
    ("files", "folder"),
    ("files", "instructions"),
    ("files", "providers"),
    ("files", "shipped"),
    ("providers", "folder"),
    ("providers", "shipped"),
    ("files", "including"),
    ("folder", "parquet"),
    ("including", "folder"),
    ("inputs", "disk"),
    ("outputs", "disk"),
    ("outputs", "parts"),
    ("parts", "disk"),
    ("campaign", "inputs"),
    ("campaign", "outputs"),
    ("simulator", "shipped"),
    ("staging", "custody"),
    ("staging", "disk"),
    ("runner", "steps"),
    ("steps", "polling"),
    ("steps", "reconciliation"),
    ("attending", "plans"),
    ("attending", "progress"),
    ("attending", "render"),
    ("attending", "replies"),
    ("cli", "render"),
    ("live", "render"),
    ("live", "sentences"),
    ("progress", "live"),
    ("progress", "render"),
    ("progress", "sentences"),
    ("sentences", "render"),
    ("clearing", "preparation"),
    ("instructions", "network"),
    ("instructions", "providers"),
    ("instructions", "shipped"),
    ("origins", "checking"),
    ("preparation", "checking"),
    ("clearing", "origins"),
    ("planfiles", "folder"),
    ("inquiry", "surroundings"),
    ("aftercare", "resolving"),
    ("residence", "surroundings"),
    ("selecting", "resolving"),
    ("doctor", "authoring"),
    ("doctor", "commands"),
    ("stories", "documents"),
    ("plans", "render"),
    ("servers", "plans"),
    ("stories", "render"),
    ("cli", "replies"),
    ("handouts", "render"),
    ("results", "documents"),
    ("results", "handouts"),
    ("results", "options"),
    ("results", "render"),
    ("results", "replies"),
    ("results", "stories"),
    ("handover", "render"),
    ("keeping", "documents"),
    ("keeping", "handover"),
    ("keeping", "options"),
    ("keeping", "render"),
    ("keeping", "replies"),
    ("keeping", "stories"),
    ("manifests", "options"),
    ("manifests", "render"),
    ("manifests", "replies"),
    ("descriptions", "render"),
    ("replies", "render"),
    ("servers", "descriptions"),
    ("servers", "documents"),
    ("servers", "options"),
    ("servers", "progress"),
    ("servers", "render"),
    ("servers", "replies"),
    ("campaigns", "attending"),
    ("campaigns", "options"),
    ("campaigns", "plans"),
    ("campaigns", "render"),
    ("campaigns", "replies"),
    ("standing", "live"),
    ("standing", "options"),
    ("standing", "progress"),
    ("standing", "render"),
    ("standing", "replies"),
    ("standing", "sentences"),
    ("plans", "replies"),
}

#: Who may import a library. ``ledger`` means all of the package.
LIBRARIES = {
    "aiohttp": "gets",
    "asyncio": "connections gets",
    "av": "simulator report.posters",
    "click": "cli options replies servers manifests keeping results campaigns standing",
    "httpx": "client connections gets network probing redirects traffic",
    "jsonschema": "breaches sayings validation simulator.refusals",
    "jsonschema_rs": "compiled",
    "PIL": "simulator report.posters",
    "pyarrow": "parquet",
    "rich": "render progress live attending standing stories handover descriptions plans handouts",
    "sqlite3": "ledger simulator.store",
    "starlette": "simulator",
    "tenacity": "retrying",
    "trio": "",
    "uvicorn": "simulator",
    "yaml": "source syntax",
    "yarl": "gets",
}

FREE = {"anyio", "pipeline", *sys.stdlib_module_names}

#: What the outside world leaks in by. Time is ``anyio.current_time``; the rest is handed in, see GATES.
WORLD = re.compile(
    r"os\.(environb?|getenvb?|putenv|unsetenv|urandom)|time\.(?!struct_time|gmtime|strftime)\w+"
    r"|(datetime\.)?(datetime\.(now|utcnow|today)|date\.today)|random\.(?!Random$)\w+|secrets\.\w+|uuid\.uuid[14]"
)
#: module: {use: why it may}.
GATES: Mapping[str, Mapping[str, str]] = {
    "commands": {
        "os.environ": "the one place that reads the environment: keys and addresses",
        "random.SystemRandom": "the source of idempotency keys that is handed in",
        "time.time": "the wall clock that is handed in",
        "time.clock_gettime": "how long the run has lasted, by a clock that nobody sets",
        "time.CLOCK_MONOTONIC": "the name of that clock",
    },
    "aftercare": {
        "os.environ": "keys and addresses, for asking a server",
        "random.SystemRandom": "spreads repeated questions",
        "time.time": "the wall clock that is handed in",
    },
    "doctor": {
        "os.environ": "keys and addresses, for asking a server",
        "random.SystemRandom": "makes an id that nobody has",
        "time.time": "the wall clock that is handed in",
    },
    "resolving": {
        "os.environ": "keys and addresses, for asking a server",
        "random.SystemRandom": "spreads repeated questions",
        "time.time": "the wall clock that is handed in",
    },
    "selecting": {
        "os.environ": "where a rescued id may lie",
        "time.time": "the wall clock that is handed in",
    },
    "watching": {
        "time.time": "how long ago the ledger's events were",
    },
    "planning": {
        "os.environ": "the server's address, as a run would find it",
    },
    "reporting": {
        "time.time": "when the page was made",
    },
}

LONGEST_FUNCTION = 60
LONGEST_MODULE = 350

#: The module's name below ``pipeline`` and its syntax tree; a package goes by its own name.
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_bytes())
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}
PLACES = {module: floor for floor, modules in enumerate(FLOORS) for module in modules.split()}
each_module = pytest.mark.parametrize("module", MODULES)


def uses(tree: ast.AST) -> Iterator[str]:
    """Every dotted name that the tree imports or reads, by its own name: ``from time import time as t`` is both."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            if first in names:
                yield f"{names[first]}.{rest}"


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that the tree imports, wherever it stands: in functions and under TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def siblings(module: str) -> set[str]:
    """The modules of this package that the module imports."""
    found = set()
    for name in imports(MODULES[module]):
        inside = name.removeprefix("pipeline.") if name.startswith("pipeline.") else ""
        found |= {target for target in (inside, inside.rpartition(".")[0]) if target in MODULES}
    return found - {module}


def top(module: str) -> str:
    return module.partition(".")[0]


@each_module
def test_every_module_has_a_floor(module: str) -> None:
    assert top(module) in PLACES, f"pipeline.{module}: give it a place in FLOORS"


@each_module
def test_imports_point_down(module: str) -> None:
    here = PLACES.get(top(module), len(FLOORS))
    for target in siblings(module):
        there = PLACES.get(top(target), -1)
        pair = (top(module), top(target))
        assert there <= here, f"pipeline.{module} (floor {here}) imports pipeline.{target} (floor {there})"
        assert there < here or pair[0] == pair[1] or here in MINGLING or pair in ACROSS, (
            f"pipeline.{module} imports pipeline.{target} beside it: see ACROSS"
        )


def test_no_module_imports_itself_through_others() -> None:
    tuple(graphlib.TopologicalSorter({module: siblings(module) for module in MODULES}).static_order())


@each_module
def test_a_library_is_imported_only_where_it_belongs(module: str) -> None:
    imported = {name.partition(".")[0] for name in imports(MODULES[module])}
    for library in (imported - FREE) | (imported & LIBRARIES.keys()):
        assert library in LIBRARIES, f"{library} is not in LIBRARIES"
        places = LIBRARIES[library].split()
        assert {module, top(module)} & {*places}, f"{library} belongs to {places or 'nobody'}, not to {module}"


@each_module
def test_the_world_comes_in_by_its_gates(module: str) -> None:
    found = {match[0] for use in uses(MODULES[module]) if (match := WORLD.match(use))}
    assert found == GATES.get(module, {}).keys(), "one that is not in GATES, or GATES has one too many"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import os\nos.environ.get('KEY')", {"os.environ"}),
        ("from os import getenv as read", {"os.getenv"}),
        ("def f():\n    import time as t\n    t.sleep(1)", {"time.sleep"}),
        ("from datetime import UTC, datetime\ndatetime.now(UTC).date()", {"datetime.datetime.now"}),
        ("import datetime\ndatetime.datetime.now()", {"datetime.datetime.now"}),
        ("import random\nrandom.choice('ab')", {"random.choice"}),
        ("from random import Random\nRandom(7).choice('ab')", set()),
        ("import os\nos.path.join(time.time)", set()),
    ],
)
def test_the_world_is_recognised(code: str, found: set[str]) -> None:
    assert {match[0] for use in uses(ast.parse(code)) if (match := WORLD.match(use))} == found


@each_module
def test_no_module_knows_a_provider(module: str) -> None:
    """A provider is data. Its name may occur in prose, never as a value that code could compare with."""
    names = {path.stem for path in (PACKAGE / "profiles").glob("*.yaml")}
    assert names
    literals = {node.value for node in ast.walk(MODULES[module]) if isinstance(node, ast.Constant)}
    assert not names & literals


@each_module
def test_nothing_is_longer_than_a_reader_can_hold(module: str) -> None:
    tree = MODULES[module]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < LONGEST_FUNCTION, node.name
    assert max((getattr(node, "end_lineno", 0) for node in tree.body), default=0) <= LONGEST_MODULE


def repository() -> Iterator[Path]:
    """The files that git would track, found without git, which is not on every machine."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split() if line[0] != "!"]
    for folder, folders, names in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [
            name
            for name in folders
            if name != "outputs"
            and (name[0] != "." or name in {".ci", ".github"})
            and not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
            and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in names if name != ".git")


def test_no_file_names_a_machine() -> None:
    path_on_a_machine = re.compile(rb"(?<![\w.])/(work|root|home|Users)/")
    files = [path for path in repository() if path.is_file()]
    assert PACKAGE / "errors.py" in files
    assert [str(path) for path in files if path_on_a_machine.search(path.read_bytes())] == []
