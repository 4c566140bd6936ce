"""The work of one run: a manifest, and the check that all of it was done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import caption_text

_MAX_NAMED = 3


class NotDoneError(Exception):
    """A competitor did not do its work, so its figures mean nothing."""


@dataclass(frozen=True)
class Workload:
    """A number of captions of one provider, each of `caption_bytes` bytes."""

    provider: str
    items: int
    caption_bytes: int

    def write_manifest(self, path: Path) -> None:
        """Write the manifest that all competitors read; Mux rows name their track."""
        with path.open("w") as file:
            file.write("asset_id,track_id,to_language_code,video_translate_id\n")
            for number in range(self.items):
                if self.provider == "mux":
                    asset = f"bench-asset-{number:07}"
                    file.write(f"{asset},{asset}-en,es,\n")
                else:
                    file.write(f",,,bench-tr-{number:07}\n")

    def names(self) -> Iterator[str]:
        """The server's name of each caption, which is the file's name without `.vtt`."""
        for number in range(self.items):
            if self.provider == "mux":
                yield f"bench-asset-{number:07}.es"
            else:
                yield f"bench-tr-{number:07}"

    def check(self, out: Path) -> None:
        """Check that exactly the wanted files are in `out`, byte for byte.

        Holds no list of names: this process's memory would show in the competitors' peaks.

        Raises:
            NotDoneError: A file is missing, differs, or is one too many.
        """
        folder = out / self.provider
        count = _count_files(folder) if folder.is_dir() else 0
        if count != self.items:
            raise NotDoneError(f"{count:,} files instead of {self.items:,} in {folder}")
        wrong = [name for name in self.names() if self._differs(folder, name)]
        if wrong:
            raise NotDoneError(
                f"{len(wrong):,} of {self.items:,} files are not what was served: "
                + ", ".join(f"{folder / name}.vtt" for name in wrong[:_MAX_NAMED])
            )

    def _differs(self, folder: Path, name: str) -> bool:
        try:
            with (folder / f"{name}.vtt").open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return True
        return digest != caption_text.digest(name, self.caption_bytes)


def _count_files(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.name.endswith(".vtt") for entry in entries)
