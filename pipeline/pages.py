"""The only module that reads the package's own documentation."""

from importlib import resources
from pathlib import Path

from pipeline import rules


def rulebook() -> dict[str, rules.Rule]:
    """Return every rule by its code, in the order of ``docs/rules.md``."""
    # A wheel has the page inside the package, a checkout and an editable install beside it.
    inside = resources.files("pipeline") / "_docs"
    folder = inside if inside.is_dir() else Path(__file__).resolve().parent.parent / "docs"
    return rules.parse((folder / "rules.md").read_text("utf-8"))
