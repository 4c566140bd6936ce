"""The work of a round: a manifest, and how to see that all of it was done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import texts

_SHOWN = 3


class NotDoneError(Exception):
    """A contender did not do its work; its figures say nothing."""


@dataclass(frozen=True)
class Workload:
    """So many captions of one provider, each of a size in bytes."""

    provider: str
    items: int
    caption_bytes: int

    def write_manifest(self, path: Path) -> None:
        """The manifest as batchcap and its contenders read it; Mux rows name their track."""
        with path.open("w") as file:
            file.write("asset_id,track_id,to_language_code,video_translate_id\n")
            for number in range(self.items):
                if self.provider == "mux":
                    asset = f"bench-asset-{number:07}"
                    file.write(f"{asset},{asset}-en,es,\n")
                else:
                    file.write(f",,,bench-tr-{number:07}\n")

    def names(self) -> Iterator[str]:
        """What each caption is called by the server; the file's name without its ending."""
        for number in range(self.items):
            if self.provider == "mux":
                yield f"bench-asset-{number:07}.es"
            else:
                yield f"bench-tr-{number:07}"

    def check(self, out: Path) -> None:
        """Raise `NotDoneError` where not exactly the wanted files are in `out`, byte for byte.

        Holds no names: what this process holds would show in the contenders' peaks.
        """
        folder = out / self.provider
        found = _count(folder) if folder.is_dir() else 0
        if found != self.items:
            raise NotDoneError(f"{found:,} files instead of {self.items:,} in {folder}")
        wrong = [name for name in self.names() if self._differs(folder, name)]
        if wrong:
            raise NotDoneError(
                f"{len(wrong):,} of {self.items:,} files are not what was served: "
                + ", ".join(f"{folder / name}.vtt" for name in wrong[:_SHOWN])
            )

    def _differs(self, folder: Path, name: str) -> bool:
        try:
            with (folder / f"{name}.vtt").open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return True
        return found != texts.digest(name, self.caption_bytes)


def _count(folder: Path) -> int:
    """Files in a folder, however many; a glob would hold all their names."""
    with os.scandir(folder) as entries:
        return sum(entry.name.endswith(".vtt") for entry in entries)
