"""Measurements on disk: a folder NAME.parquet with one file for each step, so that measuring goes on where it stopped."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from twinsplit.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

PART = re.compile(r"step_(\d+)\.parquet")


def parts(folder: Path) -> dict[int, Path]:
    """The file of each step, ascending; whatever else lies in the folder is none of ours."""
    found = ((PART.fullmatch(path.name), path) for path in folder.glob("step_*.parquet"))
    return dict(sorted((int(match[1]), path) for match, path in found if match))


def read_parts(folder: Path, again: str) -> "pa.Table":
    """All steps as one table. A file that is damaged, or that another measurement wrote, is refused with `again`, the command to run."""
    import pyarrow as pa

    tables = {path: _read(path, step, again) for step, path in parts(folder).items()}
    odd = _odd([table.schema for table in tables.values()])
    if odd:
        raise _damaged(list(tables)[odd[0]] if 2 * len(odd) < len(tables) else folder, again)
    return pa.concat_tables(list(tables.values()))


def _odd(schemas: list["pa.Schema"]) -> list[int]:
    """The places of those that are not like most."""
    usual = max(schemas, key=schemas.count)
    return [place for place, schema in enumerate(schemas) if schema != usual]


def _read(path: Path, step: int, again: str) -> "pa.Table":
    """One file, from its bytes: Arrow itself opens no path that is not UTF-8."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = pa.BufferReader(path.read_bytes())
        table = pq.read_table(content, page_checksum_verification=True)
        whole = step in set(table.column("step").to_pylist()) and pa.types.is_list(table.schema.field("values").type)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(path, again) from error
    if not whole:
        raise _damaged(path, again)
    return table


def _damaged(path: Path, again: str) -> InputError:
    return InputError(f"{path} is damaged", f"delete it and run: {again}")
