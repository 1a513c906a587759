"""Good manifests by construction: jobs of every kind, tables, an included file, anchors and merge keys.

A project is a tree of nodes for each YAML file, and rows for each table. It can be changed until it is written; then
every node knows its place.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from fuzz.writing import Mapping, Scalar, Sequence, Writer, node

SIZES = ("1280x720", "720x1280", "1792x1024", "1024x1792")
WORDS = ("fox", "crow", "gull", "lighthouse", "harbour", "tram", "moth", "glacier", "paper", "slow", "night", "rain")


@dataclass
class Job:
    """One entry of ``jobs``: in which file, of which kind, and the table that it uses."""

    file: str
    kind: str
    node: Mapping
    table: "Table | None" = None


@dataclass
class Table:
    """Rows of texts under columns; the line of each is known once it is written."""

    name: str
    columns: list[str]
    rows: list[list[Any]]
    lines: list[int] = field(default_factory=list)
    starts: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)

    def written(self, random: Random) -> str:
        return (self._csv if self.name.endswith((".csv", ".tsv")) else self._jsonl)(random)

    def _csv(self, random: Random) -> str:
        delimiter = "," if self.name.endswith(".csv") else "\t"
        text, line = delimiter.join(self.columns) + "\n", 2
        for number, cells in enumerate(self.rows):
            if random.random() < 0.15:
                text, line = f"{text}\n", line + 1
            self.lines.append(line)
            column = 1
            for index, cell in enumerate(cells):
                if index < len(self.columns):
                    self.starts[number, self.columns[index]] = line, column
                quoted = delimiter in cell or '"' in cell or "\n" in cell or random.random() < 0.2
                spelled = '"' + cell.replace('"', '""') + '"' if quoted else cell
                spelled += delimiter if index < len(cells) - 1 else "\n"
                text += spelled
                column += len(spelled)
                if "\n" in cell:
                    line, column = line + cell.count("\n"), len(spelled) - spelled.rindex("\n", 0, -1)
            line += 1
        return text

    def _jsonl(self, random: Random) -> str:
        text = ""
        for number, cells in enumerate(self.rows):
            if random.random() < 0.15:
                text += "\n"
            line = text.count("\n") + 1
            self.lines.append(line)
            row = "{"
            for index, (name, cell) in enumerate(zip(self.columns, cells, strict=False)):
                row += random.choice((", ", ",", " ,  "))[: 9 if index else 0] + json.dumps(name)
                row += random.choice((": ", ":", " :  "))
                self.starts[number, name] = line, len(row) + 1
                row += json.dumps(cell, ensure_ascii=random.random() < 0.5)
            text += row + random.choice(("}", " }")) + "\n"
        return text


class Project:
    """A manifest, the file that it may include, and its tables."""

    MAIN, OTHER = "m.yaml", "parts/other.yaml"

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        self.count = 0
        self.anchors: dict[str, list[tuple[str, Mapping]]] = {}
        self.tables: list[Table] = []
        self.jobs: list[Job] = []
        self.raw: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.behind: dict[str, str] = {}
        """Text behind the last line of a file."""
        main = Mapping()
        self.roots: dict[str, Mapping] = {self.MAIN: main}
        for name, value in (("version", 1), ("name", "made"), ("provider", random.choice(("simulator", "znapai")))):
            main.add(name, node(value))
        main.add("vars", node({"style": self.words(), "look_2": self.words()}))
        if random.random() < 0.5:
            main.add("limits", node({"downloads": 2, "requests_per_minute": random.choice((30, 7.5))}))
        if random.random() < 0.5:
            main.add("output", node({"filename": random.choice(("{{ id }}.mp4", "a/{{ id }}.mp4"))}))
        if random.random() < 0.5:
            main.add("include", node([self.OTHER]))
            self.roots[self.OTHER] = Mapping([(node("version"), node(1))])
        self._fill()

    def words(self) -> str:
        return " ".join(self.random.choice(WORDS) for _ in range(self.random.randint(1, 4)))

    def new(self, stem: str = "n") -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def _fill(self) -> None:
        random = self.random
        for file, root in self.roots.items():
            self._holders(file, root)
            defaults = {name: value for name, value in self._fields().items() if random.random() < 0.3}
            if defaults:
                root.add("defaults", node(defaults))
            jobs = Sequence()
            for _ in range(random.randint(2, 4)):
                job = self._job(file)
                jobs.items.append(job.node)
                self.jobs.append(job)
            root.add("jobs", jobs)
        self._repeat_a_prompt()

    def _fields(self) -> dict[str, Any]:
        random = self.random
        return {
            "size": random.choice(SIZES),
            "seconds": random.choice(("4", "8", "12")),
            "tags": [self.words(), "hero", "🦊 {{ style }}"][: random.randint(1, 3)],
            "metadata": {"project": self.words(), "team": {"floor": random.randint(0, 9)}},
            "takes": random.randint(1, 3),
            "model": "sora-2",
        }

    def _holders(self, file: str, root: Mapping) -> None:
        """Put values with anchors before everything that draws them in."""
        for _ in range(self.random.randint(0, 2)):
            name = self.new("look")
            fields = self._fields()
            holder = node({key: fields[key] for key in self.random.sample(sorted(fields), 2)})
            assert isinstance(holder, Mapping)
            holder.anchor = name
            self.anchors.setdefault(file, []).append((name, holder))
            root.add(f"x-{name}", holder)

    def _job(self, file: str) -> Job:
        random, fields = self.random, self._fields()
        kind = random.choice(("plain", "plain", "plain", "matrix", "list", "table"))
        job = Mapping()
        made = Job(file, kind, job)
        job.add("id", Scalar(self.new("job")))
        for name in random.sample(sorted(fields), random.randint(0, 4)):
            job.add(name, node(fields[name]))
        if kind == "table":
            self._table(made)
        elif kind == "list":
            job.add("prompt", node([self._prompt() for _ in range(3)]))
        else:
            prompt = self._prompt()
            if kind == "matrix":
                times = random.sample(WORDS, random.randint(3, 4))
                moods = ["calm", "hopeful"]
                matrix = {"time": times, "mood": moods, "exclude": [{"time": times[0], "mood": "calm"}]}
                job.add("matrix", node(matrix))
                prompt += " at {{ time }}"
            job.add("prompt", Scalar(prompt))
        random.shuffle(job.pairs)
        if kind != "table" and random.random() < 0.4 and self.anchors.get(file):
            names = random.sample([name for name, _ in self.anchors[file]], 1)
            aliases = [Scalar(f"*{name}", raw=True) for name in names]
            job.add("<<", aliases[0] if random.random() < 0.5 else Sequence(aliases), first=random.random() < 0.5)
        return made

    def _prompt(self) -> str:
        end = self.random.choice(("", " in {{ style }}", " {{ look_2 }} end"))
        return f"{self.words()}, {self.new('shot')}{end}"

    def _table(self, job: Job) -> None:
        random, name = self.random, self.new("t") + random_suffix(self.random)
        texts = [f"{self.words()}, {self.new('row')}", f'a "{self.new("row")}" é', f"{self.new('row')} 🦊 end"]
        if name.endswith(".csv"):
            texts.append(f"two\nlines {self.new('row')}")
        rows = [[self.new("k"), text, random.choice(("4", "8"))] for text in texts]
        job.table = Table(name, ["key", "caption", "length"], rows)
        self.tables.append(job.table)
        job.node.get("id").text += "-{{ row.key }}"  # type: ignore[attr-defined]
        job.node.add("from", Scalar(name))
        job.node.drop("seconds")
        job.node.add("columns", node({"prompt": "caption", "seconds": "length"}))

    def _repeat_a_prompt(self) -> None:
        """Let two jobs of one file have one prompt by an anchor, in different sizes."""
        plain = [job for job in self.jobs if job.kind == "plain" and job.file == self.MAIN]
        if len(plain) >= 2 and self.random.random() < 0.4:
            first, second = plain[:2]
            prompt = first.node.get("prompt")
            prompt.anchor = self.new("said")
            second.node.put("prompt", Scalar(f"*{prompt.anchor}", raw=True))
            second.kind = "aliased"
            first.node.put("size", Scalar(SIZES[0]))
            second.node.put("size", Scalar(SIZES[1]))

    def write(self, folder: Path) -> None:
        """Write all files. Every node gets its place."""
        for file, root in self.roots.items():
            writer = Writer(Random(self.random.random()), end=self.random.choice(("\n", "\n", "\r\n")))
            self.texts[file] = writer.document(root) + self.behind.get(file, "")
            mark = self.random.choice((b"", b"", b"\xef\xbb\xbf"))
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(mark + self.texts[file].encode())
        for table in self.tables:
            users = [job.file for job in self.jobs if job.table is table]
            path = (folder / users[0]).parent / table.name
            path.write_text(table.written(Random(self.random.random())), "utf-8", newline="")


def random_suffix(random: Random) -> str:
    return random.choice((".csv", ".tsv", ".jsonl"))
