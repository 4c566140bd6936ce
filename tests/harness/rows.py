"""Rows and captions for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchcap.domain.models import Caption, Row
from batchcap.manifest import ManifestOptions, read
from batchcap.providers import PROVIDERS

CAPTION = Caption(bytes=40, sha256="ab" * 32, cues=1)


VTT = b"WEBVTT\n\n00:00:01.000 --> 00:00:02.500\nHello\n\n"


def row(number: int = 1, *, provider: str = "fake", **changes: Any) -> Row:
    given = {
        "number": number,
        "key": f"{provider}:source{number}:es",
        "provider": provider,
        "source_id": f"source{number}",
        "language": "es",
        "path": f"{provider}/source{number}.es.vtt",
        "params": {"to_language_code": "es"},
        "origin": f"m.csv:{number + 1}",
    }
    return Row(**{**given, **changes})


COLUMNS = {name: spec.columns for name, spec in PROVIDERS.items()}


def mux_row(source_id: str, target: str = "es", **params: Any) -> Row:
    """Return a Mux row as it is read from a manifest."""
    return Row(
        number=1,
        key=f"mux:{source_id}:{target}",
        provider="mux",
        source_id=source_id,
        language=target,
        target=target,
        path=f"mux/{source_id}.{target}.vtt",
        params=params,
    )


def heygen_row(source_id: str) -> Row:
    """Return a HeyGen row as it is read from a manifest."""
    return Row(
        number=1,
        key=f"heygen:{source_id}",
        provider="heygen",
        source_id=source_id,
        language=None,
        path=f"heygen/{source_id}.vtt",
    )


def read_rows(manifest: Path, **options: Any) -> list[Row]:
    """Return the rows of a manifest that must have no problems."""
    rows = list(read(str(manifest), ManifestOptions(**options), COLUMNS))
    assert all(isinstance(row, Row) for row in rows), rows
    return [row for row in rows if isinstance(row, Row)]
