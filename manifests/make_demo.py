"""Writes demo.csv: some two thousand tasks of both providers, the same ones every time."""

from __future__ import annotations

import csv
from pathlib import Path

ASSETS = 500
TRANSLATIONS = 600

TARGETS = ("es", "fr;de", "es;ja;pt-BR", "it;ko;zh-Hans;pl", "es;fr;de;hi;ar")
LABELS = ("Spanish (Spain)", "French", "Japanese", "German", "Portuguese (Brazil)", "Hindi")
COLUMNS = (
    "provider",
    "asset_id",
    "track_id",
    "from_language",
    "to_language_code",
    "video_translate_id",
    "language",
    "title",
)


def rows() -> list[dict[str, str]]:
    """The rows of the demo, Mux and HeyGen in turns; a row of Mux has one to five tasks."""
    mux = [asset(number) for number in range(1, ASSETS + 1)]
    heygen = [translation(number) for number in range(1, TRANSLATIONS + 1)]
    mixed = [row for pair in zip(mux, heygen, strict=False) for row in pair]
    return mixed + heygen[len(mux) :]


def asset(number: int) -> dict[str, str]:
    """A Mux asset: every fifth names its source track, the others the source language."""
    source = f"demo-asset-{number:04d}"
    track = {"track_id": f"{source}-en"} if number % 5 == 0 else {"from_language": "en"}
    return {
        "provider": "mux",
        "asset_id": source,
        **track,
        "to_language_code": TARGETS[number % len(TARGETS)],
        "title": f"Episode {number}",
    }


def translation(number: int) -> dict[str, str]:
    """A HeyGen translation; some have no label."""
    return {
        "provider": "heygen",
        "video_translate_id": f"demo-tr-{number:04d}",
        "language": "" if number % 7 == 0 else LABELS[number % len(LABELS)],
        "title": f"Lesson {number}",
    }


if __name__ == "__main__":
    with Path(__file__).with_name("demo.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows())
