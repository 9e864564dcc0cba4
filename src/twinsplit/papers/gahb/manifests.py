"""Where the split manifests and the list of duplicates of prepared data go, and how that list is found."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from twinsplit.data.images.folder import ImageData
from twinsplit.data.splits.controlled import Controlled
from twinsplit.data.splits.duplicate_lists import DuplicateList, find_duplicates, read_duplicates


@final
@dataclass(frozen=True)
class Manifests:
    """out: the folder of figures; folder: the prepared data; threshold: correlation above which a later image is a duplicate."""

    out: Path
    folder: Path
    threshold: float

    @property
    def place(self) -> Path:
        """Of all files of these data."""
        return self.out / "splits" / _digest(str(self.folder))

    @property
    def duplicates(self) -> Path:
        """The list."""
        return self.place / f"duplicates-{self.threshold:g}.json"

    def manifest(self, rule: Controlled, threshold: float | None, reserved: int) -> Path:
        """Of a split, named by all that decides it beside the data. threshold: None where duplicates stay; reserved: images of no group."""
        decides: list[Any] = [rule.to_json(), threshold, reserved]
        return self.place / f"{rule.kind}-{_digest(json.dumps(decides, sort_keys=True))}.json"

    def sought(self, data: ImageData) -> DuplicateList:
        """The list that stands, or one sought now."""
        return read_duplicates(self.duplicates, data) if self.duplicates.is_file() else find_duplicates(data, self.threshold)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
