"""Tables in Parquet files, read and written row by row. The only module that knows pyarrow, which is an extra.

The place of a cell is the number of its row as the line, and of its column as the column: the file has no others.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.document import Place
from pipeline.errors import Problem, UsageError
from pipeline.tables import Header, Item, Number, Row, Table, table

SUFFIX = ".parquet"
_AT_ONCE = 1000
"""Rows that are in memory at the same time."""
_IN_A_GROUP = 10_000
"""Rows of a file that is written, which are in memory and in a row group together."""


def read(source: BinaryIO, *, file: str) -> Table | list[Problem]:
    """Return the table in a Parquet file, or why there is none. Raises UsageError where pyarrow is not installed."""
    try:  # an extra, and slow to import
        from pyarrow import ArrowException  # noqa: PLC0415
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f'{error}: tables in Parquet need pip install "callsheet[parquet]"') from error

    def items() -> Iterator[Item]:
        try:
            with source:
                opened = ParquetFile(source)
                names = tuple(opened.schema_arrow.names)
                if len(set(names)) < len(names):
                    message, fix = "every column needs a name of its own", "rename one"
                    yield Place(file, 1, 1).problem("table-header", message, fix)
                    return
                yield Header(names)
                number = 0
                for batch in opened.iter_batches(_AT_ONCE):
                    for cells in batch.to_pylist():
                        number += 1
                        yield Row(number, number, {name: _cell(cell) for name, cell in cells.items()})
        except (ArrowException, OSError, ValueError, OverflowError) as error:
            message = f"the file is not Parquet, or damaged: {str(error)[:200]}"
            yield Place(file, 1, 1).problem("table-syntax", message, "write it anew")

    return table(items(), file, lambda row, column: (0, [*row.cells].index(column) + 1))


class Writer:
    """Writes a file of rows whose columns have these types: str, int, float or bool. Close it."""

    def __init__(self, path: Path, columns: Mapping[str, type]) -> None:
        """Raises UsageError where pyarrow is not installed."""
        try:  # an extra, and slow to import
            import pyarrow as pa  # noqa: PLC0415
            from pyarrow.parquet import ParquetWriter  # noqa: PLC0415
        except ImportError as error:
            raise UsageError(f'{error}: an export to Parquet needs pip install "callsheet[parquet]"') from error
        kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
        fields = [pa.field(name, kinds[kind], nullable=False) for name, kind in columns.items()]
        self._schema = pa.schema(fields)
        self._table = pa.Table
        self._writer = ParquetWriter(path, self._schema)
        self._rows: list[Mapping[str, Any]] = []

    def write(self, row: Mapping[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == _IN_A_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._table.from_pylist(self._rows, self._schema))
            self._rows.clear()


def _cell(cell: Any) -> Any:
    """Return a cell as the other tables have it: a text, a number as it is spelled, None, a list or a mapping."""
    return ("true" if cell else "false") if isinstance(cell, bool) else _inner(cell)


def _inner(cell: Any) -> Any:
    if isinstance(cell, list):
        return [_inner(inner) for inner in cell]
    if isinstance(cell, dict):
        return {str(key): _inner(inner) for key, inner in cell.items()}
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return Number(cell) if math.isfinite(cell) else None
    if isinstance(cell, str | bool) or cell is None:
        return cell
    return None if isinstance(cell, bytes) else str(cell)
