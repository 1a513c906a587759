"""Mistakes for good projects, each with the rule and the place that a user must be told.

The place is a node, which knows where it was written, or a text that is in a file once. The tool is never asked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fuzz.building import Job, Project, Table
from fuzz.writing import Mapping, Node, Scalar, Sequence, node

Place = tuple[str, int, int]
"""File, line and column."""


class Unfit(Exception):
    """The project has nothing that this mistake could be made in."""


@dataclass(frozen=True)
class Made:
    """A mistake that was made: its rule, and its place once the project is written."""

    rule: str
    place: Callable[[], Place]


class Mistakes:
    """Makes mistakes in one project, each in a job or a section of its own."""

    def __init__(self, project: Project) -> None:
        self.project, self.random = project, project.random
        self.free = list(project.jobs)
        self.random.shuffle(self.free)
        self.spoilt: set[str] = set()

    def make(self, kind: str) -> Made:
        """Make a mistake of this kind. Raises Unfit."""
        return KINDS[kind](self)

    def job(self, *kinds: str, without: str = "") -> Job:
        for job in self.free:
            if (not kinds or job.kind in kinds) and not (without and job.node.has(without)):
                if any(value.anchor for _, value in job.node.pairs):
                    continue  # another job uses it
                self.free.remove(job)
                return job
        raise Unfit

    def root(self, section: str) -> Mapping:
        """Return the manifest's root, once for each section."""
        if section in self.spoilt:
            raise Unfit
        self.spoilt.add(section)
        return self.project.roots[Project.MAIN]

    def at(self, rule: str, file: str, found: Node) -> Made:
        return Made(rule, lambda: (file, found.line, found.column))

    def at_text(self, rule: str, file: str, text: str) -> Made:
        """At a text that is written once, after the file is."""

        def place() -> Place:
            whole = self.project.texts[file]
            assert whole.count(text) == 1
            before = whole[: whole.index(text)].replace("\r\n", "\n")
            return file, before.count("\n") + 1, len(before) - before.rfind("\n")

        return Made(rule, place)


KINDS: dict[str, Callable[[Mistakes], Made]] = {}
#: After these nothing else can be read, or what is read is not what was meant.
FATAL: set[str] = set()


def kind(make: Callable[[Mistakes], Made]) -> Callable[[Mistakes], Made]:
    KINDS[make.__name__] = make
    return make


def fatal(make: Callable[[Mistakes], Made]) -> Callable[[Mistakes], Made]:
    FATAL.add(make.__name__)
    return kind(make)


def _valued(rule: str, name: str, *values: Any, entry: bool = False) -> Callable[[Mistakes], Made]:
    """A job's field with a value that it cannot have, or a list whose last entry it is."""

    def make(m: Mistakes) -> Made:
        job = m.job("plain", "matrix", "list")
        wrong = node(m.random.choice(values))
        job.node.put(name, Sequence([node("good"), wrong]) if entry else wrong)
        return m.at(rule, job.file, wrong)

    return make


def _renamed(*words: str, name: str, value: str) -> Callable[[Mistakes], Made]:
    def make(m: Mistakes) -> Made:
        job = m.job("plain", "list")
        job.node.drop(name)
        return m.at("unknown-key", job.file, job.node.add(m.random.choice(words), node(value)))

    return make


def _unknown(*words: str) -> Callable[[Mistakes], Made]:
    def make(m: Mistakes) -> Made:
        job = m.job()
        key = job.node.add(m.random.choice(words), node("x"), first=m.random.random() < 0.5)
        return m.at("unknown-key", job.file, key)

    return make


KINDS |= {
    "unknown key": _unknown("fps", "camera", "quality"),
    "an address as a key": _unknown("base_url", "api_key", "headers"),
    "a key of another section": _unknown("vars", "limits", "filename"),
    "misspelt key": _renamed("secnds", "second", "secondss", name="seconds", value="8"),
    "foreign word": _renamed("duration", "length", name="seconds", value="8"),
    "foreign word for size": _renamed("resolution", "aspect_ratio", name="size", value="16:9"),
    "seconds as a number": _valued("wrong-type", "seconds", 4, 8, 12),
    "wrong length": _valued("wrong-value", "seconds", "5", "4s", "60"),
    "wrong size": _valued("wrong-value", "size", "1920x1080", "1280*720", "big"),
    "wrong model": _valued("wrong-value", "model", "sora-3", "gpt"),
    "model of another type": _valued("wrong-type", "model", [], None, {"a": "b"}),
    "takes as a text": _valued("wrong-type", "takes", "3", "many", [1]),
    "takes out of bounds": _valued("out-of-bounds", "takes", 0, 1001, -1),
    "takes that are no whole number": _valued("wrong-type", "takes", 1.5),
    "tags as a text": _valued("wrong-type", "tags", "hero", 7),
    "a tag that is no text": _valued("wrong-type", "tags", 7, None, ["a"], entry=True),
    "an empty tag": _valued("out-of-bounds", "tags", "", entry=True),
    "metadata as a text": _valued("wrong-type", "metadata", "spring", ["a"]),
    "metadata of infinity": _valued("number", "metadata", {"a": Scalar(".inf", raw=True)}),
    "enabled as a text": _valued("wrong-type", "enabled", "no", 1),
    "id as a number": _valued("wrong-type", "id", 7, 2026),
    "id that is no name": _valued("id", "id", "a/b", "-x", "two words", "a" * 200),
    "empty prompt": _valued("out-of-bounds", "prompt", ""),
    "prompt of nothing": _valued("wrong-type", "prompt", None),
    "missing image": _valued("image", "input_reference", "no-such.png"),
    "image by http": _valued("image", "input_reference", "http://example.com/a.png"),
    "image outside": _valued("image", "input_reference", "../../etc/a.png", "/etc/hostname"),
}
del KINDS["metadata of infinity"]


@kind
def metadata_of_infinity(m: Mistakes) -> Made:
    job, wrong = m.job(), Scalar(m.random.choice((".inf", "-.INF", ".nan", "1e999")), raw=True)
    job.node.put("metadata", node({"a": {"b": wrong}}))
    return m.at("number", job.file, wrong)


@kind
def an_unknown_limit(m: Mistakes) -> Made:
    return m.at("unknown-key", Project.MAIN, _mapping(m.root("limits"), "limits").add("jobs_per_hour", node(3)))


@kind
def limits_of_another_type(m: Mistakes) -> Made:
    wrong = node(m.random.choice(("many", None, [1])))
    _mapping(m.root("limits"), "limits").put("downloads", wrong)
    return m.at("wrong-type", Project.MAIN, wrong)


@kind
def a_limit_of_zero(m: Mistakes) -> Made:
    wrong = node(0)
    _mapping(m.root("limits"), "limits").put("polls_per_second", wrong)
    return m.at("out-of-bounds", Project.MAIN, wrong)


def _mapping(root: Mapping, name: str) -> Mapping:
    found = root.get(name) if root.has(name) else root.put(name, Mapping())
    assert isinstance(found, Mapping)
    return found


@kind
def undefined_variable(m: Mistakes) -> Made:
    job, placeholder = m.job("plain", "list", "table"), f"{{{{ {m.project.new('nobody')} }}}}"
    text = Scalar(f"{m.project.words()}, {placeholder} {{{{ style }}}}")
    if m.random.random() < 0.5:
        job.node.put("tags", Sequence([node("good"), text]))
    else:
        job.node.put("metadata", node({"a": [{"b": text}]}))
    return m.at_text("undefined-name", job.file, placeholder)


@kind
def undefined_variable_in_a_prompt(m: Mistakes) -> Made:
    job, placeholder = m.job("plain", "matrix"), f"{{{{{m.project.new('nobody')}}}}}"
    job.node.put("prompt", Scalar(f"A city {placeholder}"))
    return m.at_text("undefined-name", job.file, placeholder)


@kind
def a_placeholder_of_two_names(m: Mistakes) -> Made:
    job, placeholder = m.job("plain"), f"{{{{ style | {m.project.new('upper')} }}}}"
    job.node.put("prompt", Scalar(f"It's {placeholder}"))
    return m.at_text("placeholder", job.file, placeholder)


@kind
def an_open_placeholder(m: Mistakes) -> Made:
    job, word = m.job("plain"), m.project.new("open")
    job.node.put("prompt", Scalar(f"{{{{ style }}}} {{{{ {word}"))
    return m.at_text("placeholder", job.file, f"{{{{ {word}")


@kind
def a_row_without_a_table(m: Mistakes) -> Made:
    job, placeholder = m.job("plain", "matrix"), f"{{{{ row.{m.project.new('cell')} }}}}"
    job.node.put("prompt", Scalar(f"A city {placeholder}"))
    return m.at_text("undefined-name", job.file, placeholder)


@kind
def undefined_column(m: Mistakes) -> Made:
    job, placeholder = m.job("table"), f"{{{{ row.{m.project.new('cell')} }}}}"
    job.node.put("tags", Sequence([Scalar(f"x {placeholder}")]))
    return m.at_text("undefined-name", job.file, placeholder)


@kind
def undefined_column_of_a_field(m: Mistakes) -> Made:
    job, wrong = m.job("table"), Scalar(m.project.new("captoin"))
    _mapping(job.node, "columns").put("seconds", wrong)
    return m.at("undefined-column", job.file, wrong)


@kind
def undefined_column_to_keep(m: Mistakes) -> Made:
    job, wrong = m.job("table"), Scalar(m.project.new("captoin"))
    job.node.put("keep_columns", Sequence([node("length"), wrong]))
    return m.at("undefined-column", job.file, wrong)


@kind
def columns_without_a_table(m: Mistakes) -> Made:
    job = m.job("plain")
    return m.at("no-table", job.file, job.node.add("keep_columns", node(["key"])))


@kind
def duplicate_key(m: Mistakes) -> Made:
    job = m.job()
    name = m.random.choice([key.text for key, _ in job.node.pairs if isinstance(key, Scalar) and key.text != "<<"])
    return m.at("duplicate-key", job.file, job.node.add(name, node("x")))


@kind
def two_merge_keys(m: Mistakes) -> Made:
    job = m.job()
    if not job.node.has("<<"):
        raise Unfit
    return m.at("duplicate-key", job.file, job.node.add("<<", node({"takes": 2})))


@kind
def duplicate_id(m: Mistakes) -> Made:
    pair = sorted((m.job("plain"), m.job("plain")), key=lambda job: _order(m.project, job))
    first = pair[0].node.get("id")
    assert isinstance(first, Scalar)
    wrong = pair[1].node.put("id", Scalar(m.random.choice((str.upper, str.lower))(first.text)))
    return m.at("duplicate-id", pair[1].file, wrong)


def _order(project: Project, job: Job) -> tuple[bool, int]:
    """Jobs of included files come first."""
    return job.file == Project.MAIN, next(i for i, other in enumerate(project.jobs) if other is job)


@kind
def duplicate_value_in_an_axis(m: Mistakes) -> Made:
    job = m.job("matrix")
    axis = _mapping(job.node, "matrix").get("time")
    assert isinstance(axis, Sequence)
    assert isinstance(axis.items[-1], Scalar)
    wrong = Scalar(axis.items[-1].text)
    axis.items.append(wrong)
    return m.at("duplicate-value", job.file, wrong)


@kind
def duplicate_prompt_in_a_list(m: Mistakes) -> Made:
    job = m.job("list")
    prompts = job.node.get("prompt")
    assert isinstance(prompts, Sequence)
    assert isinstance(prompts.items[0], Scalar)
    wrong = Scalar(prompts.items[0].text)
    prompts.items.append(wrong)
    return m.at("duplicate-value", job.file, wrong)


@kind
def unknown_axis_in_exclude(m: Mistakes) -> Made:
    job, wrong = m.job("matrix"), Mapping()
    key = wrong.add(m.random.choice(("tiem", "weather")), node("calm"))
    exclude = _mapping(job.node, "matrix").get("exclude")
    assert isinstance(exclude, Sequence)
    exclude.items.append(wrong)
    return m.at("exclude", job.file, key)


@kind
def axis_of_another_type(m: Mistakes) -> Made:
    job, wrong = m.job("matrix"), node(m.random.choice((3, "calm", None)))
    _mapping(job.node, "matrix").put("mood", wrong)
    return m.at("wrong-type", job.file, wrong)


@kind
def empty_axis(m: Mistakes) -> Made:
    job, wrong = m.job("matrix"), Sequence()
    _mapping(job.node, "matrix").put("light", wrong)
    return m.at("out-of-bounds", job.file, wrong)


@kind
def reserved_axis(m: Mistakes) -> Made:
    job = m.job("matrix")
    name = m.random.choice(("row", "row_number", "id", "takes", "tags"))
    return m.at("reserved-name", job.file, _mapping(job.node, "matrix").add(name, node(["a"])))


@kind
def wrong_size_in_an_axis(m: Mistakes) -> Made:
    job, wrong = m.job("matrix"), Scalar("1920x1080")
    for name in ("size", "<<"):
        job.node.drop(name)
    _mapping(job.node, "matrix").put("size", Sequence([node("1280x720"), wrong]))
    return m.at("wrong-value", job.file, wrong)


@kind
def conflict_of_axis_and_field(m: Mistakes) -> Made:
    job = m.job("matrix")
    job.node.put("size", node("1280x720"))
    return m.at("conflict", job.file, _mapping(job.node, "matrix").add("size", node(["1280x720", "720x1280"])))


@kind
def conflict_of_column_and_field(m: Mistakes) -> Made:
    job = m.job("table")
    job.node.put("seconds", node("8"))
    return m.at("conflict", job.file, _mapping(job.node, "columns").key("seconds"))


@kind
def missing_id(m: Mistakes) -> Made:
    job = m.job("plain", "list", "matrix")
    job.node.drop("id")
    return m.at("missing-key", job.file, job.node)


@kind
def missing_prompt(m: Mistakes) -> Made:
    job = m.job("plain")
    job.node.drop("prompt")
    return m.at("missing-key", job.file, job.node)


@kind
def missing_name(m: Mistakes) -> Made:
    root = m.root("name")
    root.drop("name")
    return m.at("missing-key", Project.MAIN, root)


@kind
def reserved_name(m: Mistakes) -> Made:
    variables = _mapping(m.root("vars"), "vars")
    return m.at("reserved-name", Project.MAIN, variables.add(m.random.choice(("row", "row_number")), node("x")))


@kind
def a_variable_of_another_type(m: Mistakes) -> Made:
    wrong = node(m.random.choice((4, None, ["a"], True)))
    _mapping(m.root("vars"), "vars").put("third", wrong)
    return m.at("wrong-type", Project.MAIN, wrong)


@kind
def a_variable_that_is_no_name(m: Mistakes) -> Made:
    return m.at("unknown-key", Project.MAIN, _mapping(m.root("vars"), "vars").add("2nd look", node("x")))


@kind
def unknown_provider(m: Mistakes) -> Made:
    wrong = m.root("provider").put("provider", Scalar(m.random.choice(("simulater", "znapi"))))
    return m.at("unknown-provider", Project.MAIN, wrong)


@fatal  # see test_an_unknown_provider_is_not_said_to_lack_anything
def provider_address(m: Mistakes) -> Made:
    wrong = m.root("provider").put("provider", Scalar("https://example.com/v1"))
    return m.at("unknown-provider", Project.MAIN, wrong)


@kind
def wrong_version(m: Mistakes) -> Made:
    wrong = m.root("version").put("version", node(m.random.choice((2, "1", 1.5, None))))
    return m.at("wrong-value", Project.MAIN, wrong)


@kind
def a_name_that_is_no_folder(m: Mistakes) -> Made:
    wrong = m.root("name").put("name", Scalar(m.random.choice(("Spring Campaign", "../x", "a/b", "x."))))
    return m.at("wrong-form", Project.MAIN, wrong)


@kind
def a_cell_that_is_wrong(m: Mistakes) -> Made:
    job, table, number = _row(m)
    table.rows[number][2] = m.random.choice(("5", "4s", "long"))
    return Made("wrong-value", lambda: (_file(job), *table.starts[number, "length"]))


def _row(m: Mistakes) -> tuple[Job, Table, int]:
    job = m.job("table")
    assert job.table
    return job, job.table, m.random.randrange(len(job.table.rows))


def _file(job: Job) -> str:
    assert job.table
    return f"{job.file.rpartition('/')[0]}/{job.table.name}".lstrip("/")


@kind
def a_cell_that_makes_no_id(m: Mistakes) -> Made:
    job, table, number = _row(m)
    table.rows[number][0] = m.random.choice(("a/b", "x y", "ü"))
    return Made("id", lambda: (_file(job), *table.starts[number, "key"]))


@kind
def two_rows_of_one_id(m: Mistakes) -> Made:
    job, table, _ = _row(m)
    table.rows[2][0] = table.rows[0][0].upper()
    return Made("duplicate-id", lambda: (_file(job), *table.starts[2, "key"]))


@kind
def a_cell_of_nothing(m: Mistakes) -> Made:
    job, table, number = _row(m)
    if not table.name.endswith(".jsonl"):
        raise Unfit
    table.rows[number][2] = m.random.choice((None, ["4"], {"a": 1}))
    return Made("row-cell", lambda: (_file(job), *table.starts[number, "length"]))


@kind
def ragged_row(m: Mistakes) -> Made:
    job, table, number = _row(m)
    if table.name.endswith(".jsonl"):
        raise Unfit
    row = table.rows[number]
    table.rows[number] = [*row, "more"] if m.random.random() < 0.5 else row[:2]
    return Made("ragged-row", lambda: (_file(job), table.lines[number], 1))


@kind
def all_rows_of_one_id(m: Mistakes) -> Made:
    job, wrong = m.job("table"), Scalar("one")
    job.node.put("id", wrong)
    return m.at("id-not-per-row", job.file, wrong)


@kind
def missing_table(m: Mistakes) -> Made:
    job, wrong = m.job("table"), Scalar(m.random.choice(("no-such.csv", "t.xlsx", "../../x.csv", "/etc/x.txt")))
    job.node.put("from", wrong)
    return m.at("from", job.file, wrong)


@kind
def missing_include(m: Mistakes) -> Made:
    names = "no-such.yaml", "none/*.yaml", "../x.yaml", "/etc/x.yaml", "[", "parts"
    return _included(m, "include", Scalar(m.random.choice(names)))


@kind
def include_of_itself(m: Mistakes) -> Made:
    return _included(m, "include-cycle", Scalar(m.random.choice((Project.MAIN, f"./{Project.MAIN}"))))


def _included(m: Mistakes, rule: str, wrong: Node) -> Made:
    root = m.root("include")
    found = root.get("include") if root.has("include") else root.put("include", Sequence())
    assert isinstance(found, Sequence)
    found.items.append(wrong)
    return m.at(rule, Project.MAIN, wrong)


@kind
def bad_filename_placeholder(m: Mistakes) -> Made:
    placeholder = m.random.choice(("{{ idd }}", "{{ row_number }}", "{{ style }}"))
    _mapping(m.root("output"), "output").put("filename", Scalar(f"a/{{{{ id }}}}-{placeholder}.mp4"))
    return m.at_text("undefined-name", Project.MAIN, f"{placeholder}.mp4")


@kind
def bad_filename(m: Mistakes) -> Made:
    wrong = Scalar(
        m.random.choice(("../{{ id }}.mp4", "{{ id }}.mov", "/x/{{ id }}.mp4", "con/{{ id }}.mp4", "all.mp4"))
    )
    _mapping(m.root("output"), "output").put("filename", wrong)
    return m.at("filename", Project.MAIN, wrong)


@kind
def alias_to_nothing(m: Mistakes) -> Made:
    job, wrong = m.job("plain", "matrix", "list"), Scalar("*nobody", raw=True)
    job.node.put(m.random.choice(("tags", "metadata", "size", "prompt")), wrong)
    return m.at("alias", job.file, wrong)


@kind
def merge_of_nothing(m: Mistakes) -> Made:
    job, wrong = m.job(), Scalar("*nobody", raw=True)
    job.node.drop("<<")
    job.node.add("<<", wrong)
    return m.at("alias", job.file, wrong)


@kind
def merge_of_a_text(m: Mistakes) -> Made:
    job, wrong = m.job(), Scalar("look")
    job.node.drop("<<")
    job.node.add("<<", wrong)
    return m.at("merge", job.file, wrong)


@kind
def a_tag(m: Mistakes) -> Made:
    job, wrong = m.job(), Scalar(m.random.choice(("!!str 4", "!x y", '!!python/name:os.system ""')), raw=True)
    job.node.put("metadata", node({"a": [wrong]}))
    return m.at("tag", job.file, wrong)


@kind
def a_key_that_is_no_text(m: Mistakes) -> Made:
    job, key = m.job(), node(m.random.choice((2026, True, None, 1.5)))
    job.node.put("metadata", Mapping([(node("good"), node(1)), (key, node("x"))]))
    return m.at("key-type", job.file, key)


@fatal
def jobs_that_are_no_list(m: Mistakes) -> Made:
    root, wrong = m.root("jobs"), node(m.random.choice(("a", {"a": {"prompt": "x"}})))
    root.put("jobs", wrong)
    return m.at("wrong-type", Project.MAIN, wrong)


@kind
def a_job_that_is_no_mapping(m: Mistakes) -> Made:
    wrong = node(m.random.choice(("A city", 3, ["a"])))
    jobs = m.root("jobs").get("jobs")
    assert isinstance(jobs, Sequence)
    jobs.items.append(wrong)
    return m.at("wrong-type", Project.MAIN, wrong)


@fatal
def unquoted_placeholder(m: Mistakes) -> Made:
    job, wrong = m.job("plain"), Scalar("{{ style }} city", raw=True)
    job.node.put("prompt", wrong)
    return m.at("unquoted-placeholder", job.file, wrong)


@fatal
def tab_indentation(m: Mistakes) -> Made:
    m.project.behind[Project.MAIN] = "x-last:\n\ta: 1\n"
    return m.at_text("tab", Project.MAIN, "\ta: 1")


@fatal
def a_second_document(m: Mistakes) -> Made:
    m.project.behind[Project.MAIN] = "--- # second\na: 1\n"
    return m.at_text("several-documents", Project.MAIN, "--- # second")


@fatal
def a_character_that_nobody_sees(m: Mistakes) -> Made:
    char, job = m.random.choice("\0\x1b\x7f\x85\u2028\ufffe"), m.job("plain")
    job.node.put("prompt", Scalar(f'"é 🦊 {char}x"', raw=True))
    return m.at_text("character", job.file, char)


@fatal
def a_colon_in_a_text(m: Mistakes) -> Made:
    m.project.behind[Project.MAIN] = "x-last: A city: a storm\n"
    return m.at_text("syntax", Project.MAIN, ": a storm")


@fatal
def an_open_quote(m: Mistakes) -> Made:
    m.project.behind[Project.MAIN] = 'x-last: "A city\n'
    return m.at_text("syntax", Project.MAIN, '"A city\n')


def made(project: Project, kinds: list[str]) -> Iterator[Made]:
    """Make mistakes of these kinds in a project. Raises Unfit where one finds no place."""
    mistakes = Mistakes(project)
    for name in kinds:
        yield mistakes.make(name)
