"""``docs/rules.md``: every code has its section, and the examples are what they are said to be."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline import pages, rules
from pipeline.errors import ManifestError, Problem
from pipeline.files import load
from pipeline.rules import Example

ROOT = Path(__file__).resolve().parent.parent
RULES = pages.rulebook()

#: Codes whose example is no text on a page: the files that give them, and variables of the command line.
MADE: Mapping[str, tuple[Mapping[str, bytes], Mapping[str, str]]] = {
    "file": ({}, {}),
    "encoding": ({"m.yaml": "name: caf\xe9".encode("latin-1")}, {}),
    "empty-file": ({"m.yaml": b"# nothing yet\n"}, {}),
    "undeclared-variable": ({"m.yaml": b"jobs: [{ id: a, prompt: x }]"}, {"style": "noir"}),
    "too-many-jobs": (
        {
            "m.yaml": b"jobs: [{ id: a, prompt: x, matrix: { %s } }]"
            % b", ".join(
                b"axis%d: [%s]" % (axis, b", ".join(b"v%d" % value for value in range(10))) for axis in range(6)
            )
        },
        {},
    ),
}

#: Codes without an example, and why.
BARE = {
    "too-large": "an example would have 16 MiB: tests/contracts/test_hostile.py has some",
    "schema": "no schema of ours has a keyword without words of its own",
}

_CODE = re.compile(r"[a-z]+(-[a-z]+)*")
_SAYERS = re.compile(r"_?(problem|stop|fault|warning|refuse|inside|add|Problem|Finding|Fault|Unfit)")


class Codes(ast.NodeVisitor):
    """The codes that trees can give: constants in the calls that make problems, and in what goes into such a call."""

    def __init__(self, trees: list[ast.Module]) -> None:
        self.found: set[str] = set()
        self._named = {
            ast.unparse(node.targets[0]): node.value
            for tree in trees
            for node in tree.body
            if isinstance(node, ast.Assign)
        }
        for tree in trees:
            self.visit(tree)

    def constants(self, node: ast.expr) -> set[str]:
        node = self._named.get(node.id, node) if isinstance(node, ast.Name) else node
        if isinstance(node, ast.IfExp):
            return self.constants(node.body) | self.constants(node.orelse)
        is_code = isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value)
        return {node.value} - {"error", "warning"} if is_code else set()  # these are severities

    def visit_Call(self, node: ast.Call) -> None:  # the name that ast looks for
        name = ast.unparse(node.func).rpartition(".")[2]
        if _SAYERS.fullmatch(name):
            arguments = [*node.args, *(word.value for word in node.keywords if word.arg == "rule")]
            # The first one: a message or a fix of one word may follow.
            self.found |= next(filter(None, map(self.constants, arguments)), set())
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        names, values = ([*getattr(side, "elts", [side])] for side in (node.targets[0], node.value))
        for name, value in zip(names, values, strict=False):
            if ast.unparse(name) == "rule":
                self.found |= self.constants(value)
        self._tuple(node)

    def _tuple(self, node: ast.Assign | ast.Return | ast.Yield) -> None:
        """A code, a message, a fix: as a constant of the module, or what a function returns."""
        codes = [self.constants(value) for value in getattr(node.value, "elts", ())]
        if isinstance(node.value, ast.Tuple) and sum(map(bool, codes)) == 1 and not any(codes[-2:]):
            self.found |= set().union(*codes)
        self.generic_visit(node)

    visit_Return = visit_Yield = _tuple  # noqa: N815


def language() -> list[ast.Module]:
    """The modules that can say what is wrong with a manifest: those that know what a problem is, or words for one."""
    known = re.compile(r"\b(Problem|Finding|Fault|Place|Layer|Unfit)\b")
    sources = [path.read_text("utf-8") for path in (ROOT / "pipeline").glob("*.py")]
    return [ast.parse(source) for source in sources if known.search(source)]


CODES = Codes(language()).found


def test_every_code_has_a_section_and_every_section_a_code() -> None:
    assert sorted(RULES) == sorted(CODES)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('place.problem("file", "cannot be read", "check")', {"file"}),
        ('self._problem(draft, path, "too-many-jobs", message)', {"too-many-jobs"}),
        ('Finding("a-b" if x else "c", "said")', {"a-b", "c"}),
        ("MISSING = 'missing-key'\nFinding(MISSING, 'said')", {"missing-key"}),
        (
            "UNQUOTED = ('unquoted-placeholder', 'a message', 'a fix')\nself.problem(1, *UNQUOTED)",
            {"unquoted-placeholder"},
        ),
        ('def f():\n    return place, "tab", message, fix', {"tab"}),
        ('def f():\n    return place, "tab", "a message", "a fix", None', {"tab"}),
        ("why, rule = call(message)", set()),
        ('why, rule = "", "image" if x else "other"', {"image", "other"}),
        ('self.folder.refuse(layer, "include", f"{x}", "fix it")', {"include"}),
        ('print("file")\nx = ("a", "b", "c")\nf(("jobs", index, path))', set()),
    ],
)
def test_codes_are_recognised(code: str, found: set[str]) -> None:
    assert Codes([ast.parse(code)]).found == found


def found_in(folder: Path, variables: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    try:
        return load(folder / "m.yaml", variables=variables or {}).warnings
    except ManifestError as error:
        return error.problems


def write(folder: Path, example: Example) -> None:
    text = example.manifest
    for line in ("jobs: [{ id: a, prompt: x }]", "provider: simulator", "name: example", "version: 1"):
        if not re.search(rf"^{line.partition(':')[0]}:", text, re.MULTILINE):
            text = f"{line}\n{text}"
    for name, content in (("m.yaml", text), *example.files):
        (folder / name).write_text(content, "utf-8")


EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.code}-{number}-{example.verdict}")
    for rule in RULES.values()
    for number, example in enumerate(rule.examples, 1)
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_an_example_is_what_it_is_said_to_be(rule: rules.Rule, example: Example, tmp_path: Path) -> None:
    write(tmp_path, example)
    found = found_in(tmp_path)
    if example.verdict == "wrong":
        assert (rule.code, rule.severity) in {(problem.rule, problem.severity) for problem in found}
    else:
        assert [problem for problem in found if problem.severity == "error" or problem.rule == rule.code] == []


@pytest.mark.parametrize("code", MADE)
def test_a_code_without_an_example_on_the_page_is_given_too(code: str, tmp_path: Path) -> None:
    contents, variables = MADE[code]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = found_in(tmp_path, variables)
    assert (code, RULES[code].severity) in {(problem.rule, problem.severity) for problem in found}


def test_every_section_has_a_wrong_and_a_right_example() -> None:
    for rule in RULES.values():
        verdicts = {example.verdict for example in rule.examples}
        assert verdicts == (set() if rule.code in MADE.keys() | BARE.keys() else {"wrong", "right"}), rule.code


def test_a_summary_is_one_sentence() -> None:
    for rule in RULES.values():
        assert re.fullmatch(r"[^.]*(\.{3}[^.]*|`[^`]*`[^.]*)*\.", rule.summary), rule.code
        assert len(rule.summary) < 100, rule.code


@pytest.mark.parametrize(
    "page",
    [
        "## a\n\nA sentence.\n\nAdvice without a severity.\n",
        "## a\n\nA sentence.\n\nSeverity: error\n",
        "## a\n\nA sentence.\n\nSeverity: fatal\n\nAdvice.\n",
        "## a\n\nS.\n\nSeverity: error\n\nAdvice.\n\n```yaml maybe\nx: 1\n```\n",
        "## a\n\nS.\n\nSeverity: error\n\nAdvice.\n\n```csv name=t.csv\nx\n```\n",
        "## a\n\nS.\n\nSeverity: error\n\nAdvice.\n\n" * 2,
    ],
)
def test_a_section_of_another_form_is_noticed(page: str) -> None:
    with pytest.raises(ValueError, match=r"a\b"):
        rules.parse(page)
