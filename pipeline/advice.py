"""What is legal in a manifest and probably not meant: warnings. Pure."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from pipeline.document import Document, Path
from pipeline.errors import Problem
from pipeline.manifest import Manifest, Part


def about(parts: Sequence[Part]) -> Iterator[Problem]:
    """Yield what the writing of the prompts says about them."""
    for part in parts:
        has_comments = part.document.has_comments
        for path, prompt in _prompts(part.value):
            yield from _about_prompt(part.document, path, prompt, has_comments=has_comments)


def unused_variables(manifest: Manifest, used: AbstractSet[str]) -> Iterator[Problem]:
    """Yield the names of ``vars`` that nothing uses. Included files may have more than one manifest needs."""
    for name, layer in manifest.declared.items():
        if name not in used and layer.document is manifest.document:
            message = f"nothing uses the variable {name}"
            yield layer.key_place.warning("unused-variable", message, f"write {{{{ {name} }}}} in a text, or remove it")


def _prompts(value: Any) -> Iterator[tuple[Path, str]]:
    jobs = [job if isinstance(job, dict) else {} for job in value.get("jobs", ())]
    holders: list[tuple[tuple[str | int, ...], Any]] = [(("defaults",), value.get("defaults", {}))]
    holders += [(("jobs", index), job) for index, job in enumerate(jobs)]
    holders += [(("jobs", index, "matrix"), job["matrix"]) for index, job in enumerate(jobs) if "matrix" in job]
    for path, holder in holders:
        prompt = holder.get("prompt")
        if isinstance(prompt, str):
            yield (*path, "prompt"), prompt
        for index, text in enumerate(prompt if isinstance(prompt, list) else ()):
            if isinstance(text, str):
                yield (*path, "prompt", index), text


def _about_prompt(document: Document, path: Path, prompt: str, *, has_comments: bool) -> Iterator[Problem]:
    comment = document.comment_at(path) if has_comments else None
    if comment is not None:
        message = "the prompt ends here: the rest of the line is a comment"
        yield comment.warning("comment-in-prompt", message, "put the prompt in quotes if the rest belongs to it")
    if prompt.endswith("\n") and (style := document.style_at(path)) in "|>":
        message = "the prompt ends with a line break, which is part of the request"
        yield document.value_at(path).warning("trailing-newline", message, f"write {style}- for a text without it")
