"""The only module that writes manifests: a first one, and beside it the schema that editors read."""

from pathlib import Path

from pipeline.errors import UsageError

SCHEMA = "callsheet.schema.json"
_OURS = '"urn:callsheet:manifest:'


def write(manifest: Path, text: str, schema: str) -> Path:
    """Write a new manifest, and the schema beside it where that is missing or of another version; return its path.

    Raises UsageError, and writes nothing, where the manifest exists or a foreign file has the schema's name.
    """
    beside = manifest.parent / SCHEMA
    try:
        if manifest.exists() or manifest.is_symlink():
            raise UsageError(f"{manifest} exists and stays as it is: choose another name")
        known = beside.read_text("utf-8", errors="replace") if beside.exists() else ""
        if known and _OURS not in known:
            raise UsageError(f"{beside} is no schema of callsheet, and stays as it is: choose another folder")
        if known != schema:
            beside.write_text(schema, "utf-8")
        with manifest.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{manifest} cannot be written: {error.strerror}") from error
    return beside
