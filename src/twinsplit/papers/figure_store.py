"""A figure on disk: NAME.png, NAME.pdf, its tables as Parquet and JSON, and the configuration; each file whole or not at all."""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from twinsplit.runs.files import encode_table, read_json, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200


def image(drawing: "Figure", kind: str) -> bytes:
    """The drawing as a PNG or PDF, without the date, so that the same numbers give the same file."""
    stream = BytesIO()
    metadata: dict[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    drawing.savefig(stream, format=kind, dpi=DPI, metadata=metadata)
    return stream.getvalue()


def store_figure(
    out: Path,
    name: str,
    drawing: "Figure",
    tables: Mapping[str, pa.Table],
    configuration: Mapping[str, Any],
    pages: Mapping[str, bytes] | None = None,
) -> list[Path]:
    """Write the figure NAME into the folder `out`; returns the paths, the configuration last: where it is, all the rest is.

    pages: further files by name, such as the interactive version.
    """
    contents = {f"{name}.{kind}": image(drawing, kind) for kind in ("png", "pdf")} | dict(pages or {})
    for part, table in tables.items():
        contents[f"{name}-{part}.parquet"] = encode_table(table)
        contents[f"{name}-{part}.json"] = json.dumps(table.to_pydict(), allow_nan=False).encode()
    files = [*contents, configuration_name(name)]
    contents[configuration_name(name)] = encode_configuration(name, {**configuration, "files": files})
    (out / configuration_name(name)).unlink(missing_ok=True)  # a figure that is being remade does not exist
    for file, content in contents.items():
        write_bytes(out / file, content)
    return [out / file for file in contents]


def configuration_name(name: str) -> str:
    """The file that says a figure is whole and what it was made from."""
    return f"{name}-config.json"


def encode_configuration(name: str, configuration: Mapping[str, Any]) -> bytes:
    """The configuration as bytes; equal settings give equal bytes."""
    return (json.dumps({"figure": name, **configuration}, indent=2, sort_keys=True) + "\n").encode()


def existing(out: Path, name: str, configuration: Mapping[str, Any]) -> list[Path]:
    """Return the files of a figure that exists with this very configuration; empty when one of them is missing."""
    whole = out / configuration_name(name)
    if not whole.is_file():
        return []
    stored = read_json(whole)
    files = [out / file for file in stored.pop("files", [])]
    same = stored == json.loads(encode_configuration(name, configuration))
    return files if same and all(file.is_file() for file in files) else []
