"""Makes docs/manifest.md, and the part of docs/profiles.md about fields, out of schemas: ``python docs/manifest.py``.

What a page says about a key is what an editor says about it, and stands in the schema alone. A keyword of JSON Schema
that has no words here is shown as it is, so that nothing is left out.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Schema = Mapping[str, Any]

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Made by `python docs/manifest.py` out of schemas/{}.schema.json: change that. -->"
END = "<!-- End of what is made. -->"

TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "mapping",
    "null": "nothing",
}
BOUNDS = {
    "minimum": "At least {}.",
    "exclusiveMinimum": "More than {}.",
    "maximum": "At most {}.",
    "exclusiveMaximum": "Less than {}.",
    "multipleOf": "A multiple of {}.",
    "minLength": "At least {} characters.",
    "maxLength": "At most {} characters.",
    "minItems": "At least {} entries.",
    "maxItems": "At most {} entries.",
    "minProperties": "At least {} keys.",
    "maxProperties": "At most {} keys.",
    "format": "In the form {}.",
}
#: Said elsewhere on the page, or of no use to a reader.
SAID = {
    *("$schema", "$id", "$ref", "$defs", "$comment", "title", "description", "markdownDescription", "type", "const"),
    *("enum", "enumDescriptions", "markdownEnumDescriptions", "default", "examples", "pattern", "uniqueItems"),
    *("properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "required", "items"),
    *("oneOf", "anyOf", "allOf", "deprecated", "deprecationMessage", "defaultSnippets", "patternErrorMessage"),
    *("errorMessage", "doNotSuggest", "suggestSortText", "propertyNames", "if"),
}
PLAIN = {"type", "description", "markdownDescription"}
CHOICES = ("oneOf", "anyOf")
BAR = r"\|"


def page(root: Schema) -> str:
    """Return a whole page for the schema of manifests."""
    title = f"# {root.get('title', 'The manifest')}"
    return "\n\n".join([title, NOTE.format("manifest"), *_Page(root).parts(depth=2)]) + "\n"


def fields(text: str, root: Schema) -> str:
    """Return a page's text with the part about the fields of a profile made anew."""
    note = NOTE.format("profile")
    before, after = text.partition(note)[0], text.partition(END)[2]
    return before + "\n\n".join([note, *_Page(root).parts(depth=3), END]) + after


class _Page:
    def __init__(self, root: Schema) -> None:
        self.root = root
        text = json.dumps(root)
        counted = Counter(re.findall(r'"\$ref": "(#/\$defs/[^"]+)"', text))
        self.open: list[str] = []  # the references that are being explained
        self.shared = {f"#/$defs/{name}" for name in root.get("$defs", {}) if counted[f"#/$defs/{name}"] > 1}

    def parts(self, depth: int) -> Iterator[str]:
        """Yield what is said about the schema, its first headings as deep as ``depth``."""
        yield from self.about(self.root)
        yield from self.keys("", self.root, depth)
        if self.shared:
            yield f"{'#' * depth} Keys in several places"
            for name, schema in self.root["$defs"].items():
                if f"#/$defs/{name}" in self.shared:
                    yield from self.section(f"Common: `{name}`", name, schema, depth + 1)

    def section(self, title: str, path: str, schema: Schema, depth: int) -> Iterator[str]:
        yield f"{'#' * min(depth, 6)} {title}"
        yield from self.about(schema)
        yield from self.keys(path, schema, depth + 1)

    def keys(self, path: str, schema: Schema, depth: int) -> Iterator[str]:
        """A table of the keys of a mapping, and a section for each that is explained nowhere else."""
        found = {title: rest for title, *rest in reversed([*self.children(path, schema)])}
        if not found:
            return
        rows = ["| key | type | what it is |", "|---|---|---|"]
        for title, (_, inner, required) in reversed(found.items()):
            cells = [_code(title), self.type_of(inner) + ", required" * required, _first_sentence(self.resolved(inner))]
            if self.has_section(inner):
                cells[0] = f"[{cells[0]}](#{_anchor(self.title(title, inner))})"
            rows.append(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |")
        yield "\n".join(rows)
        for title, (below, inner, _) in reversed(found.items()):
            if (
                self.has_section(inner)
                and self.reference(inner) not in self.shared
                and inner.get("$ref", "none") not in self.open
            ):
                self.open.append(inner.get("$ref", ""))
                yield from self.section(self.title(title, inner), below, self.resolved(inner), depth)
                self.open.pop()

    def has_section(self, schema: Schema) -> bool:
        """What is only described is in the table already."""
        return not self.resolved(schema).keys() <= PLAIN

    def title(self, name: str, schema: Schema) -> str:
        reference = self.reference(schema)
        return f"Common: `{reference.rpartition('/')[2]}`" if reference in self.shared else _code(name)

    def children(
        self, path: str, schema: Schema, inside: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, str, Schema, bool]]:
        """Name as a heading has it, path, schema, and whether it is required, of all that a value can hold."""
        reference = schema.get("$ref", "")
        if reference in inside:
            return
        inside, schema = (*inside, *filter(None, [reference])), self.resolved(schema)
        dot = f"{path}." if path else ""
        for name, inner in schema.get("properties", {}).items():
            if inner not in (False, {"not": {}}):
                yield f"{dot}{name}", f"{dot}{name}", _schema(inner), name in schema.get("required", ())
        for pattern, inner in schema.get("patternProperties", {}).items():
            prefix = re.fullmatch(r"\^([\w-]+)", pattern)
            yield f"{dot}{prefix[1]}…" if prefix else f"{dot}<name>", f"{dot}*", _schema(inner), False
        for keyword in ("additionalProperties", "unevaluatedProperties"):
            if isinstance(schema.get(keyword), dict):
                yield f"{dot}<any name>", f"{dot}*", schema[keyword], False
        for keyword in (*CHOICES, "allOf"):
            for part in schema.get(keyword, ()):
                yield from self.children(path, _schema(part), inside)
        items = schema.get("items")
        if isinstance(items, dict) and self.reference(items) not in self.shared:
            yield from self.children(f"{path}[]", items, inside)

    def about(self, schema: Schema) -> Iterator[str]:
        schema = self.resolved(schema)
        text = schema.get("markdownDescription") or schema.get("description")
        if text:
            yield text
        items = schema.get("items")
        if isinstance(items, dict) and self.reference(items) in self.shared:
            title = self.title("", items)
            yield f"Each entry: [{title}](#{_anchor(title)})"
        elif isinstance(items, dict):
            inner = self.resolved(items)
            said = inner.get("markdownDescription") or inner.get("description")
            if said:
                yield f"Each entry: {said}"
        facts = list(dict.fromkeys(self.facts(schema)))
        if facts:
            yield "\n".join(f"- {fact}" for fact in facts)

    def facts(self, schema: Schema) -> Iterator[str]:
        if schema.get("deprecated"):
            yield f"**Deprecated.** {schema.get('deprecationMessage', '')}".rstrip()
        if schema is not self.root:
            yield f"Type: {self.type_of(schema)}."
        if "default" in schema:
            yield f"Default: {_value(schema['default'])}."
        yield from self.values(schema)
        yield from self.bounds(schema)
        for part in self.alternatives(schema):
            yield from (*self.values(part), *self.bounds(part))
        examples = schema.get("examples", ())
        if examples:
            yield f"Example{'s'[: len(examples) != 1]}: {', '.join(map(_value, examples))}."

    def values(self, schema: Schema) -> Iterator[str]:
        said = schema.get("markdownEnumDescriptions") or schema.get("enumDescriptions") or ()
        if said:
            pairs = zip(schema["enum"], said, strict=True)
            yield "\n".join(["Allowed:", *(f"  - {_value(value)}: {words}" for value, words in pairs)])
        elif "enum" in schema:
            yield f"Allowed: {', '.join(map(_value, schema['enum']))}."

    def bounds(self, schema: Schema) -> Iterator[str]:
        for keyword, value in schema.items():
            if keyword in BOUNDS:
                words = BOUNDS[keyword].format(f"{value:,}" if isinstance(value, int) else value)
                yield re.sub(r"\b1 (character|entrie|key)s", lambda one: one[0][:-1].replace("entrie", "entry"), words)
            elif keyword == "pattern":
                yield f"Fits {_code(value)}."
            elif keyword == "uniqueItems" and value:
                yield "Each entry once."
            elif keyword == "propertyNames":
                yield from (f"Names of keys: {fact[0].lower()}{fact[1:]}" for fact in self.bounds(self.resolved(value)))
            elif keyword == "patternProperties" and not all(re.fullmatch(r"\^[\w-]+", pattern) for pattern in value):
                yield f"A name fits {' or '.join(map(_code, value))}."
            elif keyword in {"then", "else"}:  # what it depends on is for the description to say
                yield from self.branch(self.resolved(_schema(value)))
            elif keyword not in SAID:
                yield f"{_code(keyword)}: {_value(value)}."
        items = schema.get("items")
        if isinstance(items, dict) and "properties" not in self.resolved(items) and not self.reference(items):
            inner = self.resolved(items)
            facts = (*self.values(inner), *self.bounds(inner))
            yield from (f"Each entry: {fact[0].lower()}{fact[1:]}" for fact in facts)

    def branch(self, schema: Schema) -> Iterator[str]:
        yield from (*self.values(schema), *self.bounds(schema))
        if schema.get("required"):
            yield f"Needed in some cases: {', '.join(map(_code, schema['required']))}."

    def type_of(self, schema: Schema, inside: tuple[str, ...] = ()) -> str:
        reference = schema.get("$ref", "")
        if reference in inside:
            return "the same"
        inside, schema = (*inside, *filter(None, [reference])), self.resolved(schema)
        if "const" in schema:
            return f"exactly {_value(schema['const'])}"
        parts = [_schema(part) for keyword in CHOICES for part in schema.get(keyword, ())]
        if parts and "type" not in schema:
            return " or ".join(dict.fromkeys(self.type_of(part, inside) for part in parts))
        names = schema.get("type", [])
        names = [names] if isinstance(names, str) else names
        if not names and "enum" in schema:
            return "one of the values below"
        words = [TYPES.get(name, name) for name in names]
        items = schema.get("items")
        if "array" in names and isinstance(items, dict):
            of = self.type_of(items, inside)
            words[names.index("array")] = f"list of {'mappings' if of == 'mapping' else of}"
        return " or ".join(words) or "anything"

    def alternatives(self, schema: Schema) -> Iterator[Schema]:
        for keyword in (*CHOICES, "allOf"):
            yield from (self.resolved(_schema(part)) for part in schema.get(keyword, ()))

    def reference(self, schema: Schema) -> str:
        """Return what the schema refers to, if it says nothing of its own."""
        return schema["$ref"] if schema.keys() == {"$ref"} else ""

    def resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref", "")
        if not reference.startswith("#/$defs/"):
            return schema
        own = {key: value for key, value in schema.items() if key != "$ref"}
        return {**self.resolved(self.root["$defs"][reference.removeprefix("#/$defs/")]), **own}


def _schema(value: Any) -> Schema:
    """In JSON Schema ``true`` allows everything and ``false`` nothing."""
    return value if isinstance(value, dict) else {} if value else {"not": {}}


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    space = " " if fence in {text[:1], text[-1:]} or "`" in {text[:1], text[-1:]} else ""
    return f"{fence}{space}{text}{space}{fence}"


def _value(value: Any) -> str:
    return _code(json.dumps(value, ensure_ascii=False))


def _first_sentence(schema: Schema) -> str:
    text = schema.get("description") or schema.get("markdownDescription") or ""
    if schema.keys() <= PLAIN:
        return " ".join(text.split())  # it has no section that says the rest
    first = re.match(r".+?[.!?](?=\s+[A-Z{`]|\s*$)", " ".join(text.split()))
    return first[0] if first else text


def _anchor(title: str) -> str:
    """Return what a heading is linked by, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    docs, read = ROOT / "docs", lambda name: json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    (docs / "manifest.md").write_text(page(read("manifest")), "utf-8")
    profiles = (docs / "profiles.md").read_text("utf-8")
    (docs / "profiles.md").write_text(fields(profiles, read("profile")), "utf-8")
