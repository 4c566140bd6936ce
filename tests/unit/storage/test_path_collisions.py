"""Names that are one file on macOS or Windows, as the ledger's import reports them."""

from __future__ import annotations

import unicodedata
from contextlib import closing
from pathlib import Path

import pytest

from batchcap.domain.errors import UsageError
from batchcap.manifest import ManifestOptions, read
from batchcap.storage.ledger import open_ledger
from tests.harness.rows import COLUMNS


def manifest(path: Path, *names: str) -> str:
    rows = "".join(f"{path.stem}{number},es,{name}\n" for number, name in enumerate(names))
    path.write_text(f"asset_id,to_language_code,name\n{rows}", encoding="utf-8")
    return str(path)


def import_into(out: Path, *sources: str) -> int:
    """Import manifests; returns the number of new rows."""
    rows = [(source, read(source, ManifestOptions(), COLUMNS)) for source in sources]
    with closing(open_ledger(out, create=True)) as ledger:
        return ledger.import_rows(rows, skip_invalid=False).added


PAIRS = [
    ("caf\u00e9.vtt", "cafe\u0301.vtt"),
    ("\u00c9t\u00e9/a.vtt", "\u00e9t\u00e9/A.vtt"),
    ("\u041c\u0418\u0420.vtt", "\u043c\u0438\u0440.vtt"),
    ("stra\u00dfe.vtt", "STRASSE.vtt"),
    ("\u212aelvin.vtt", "kelvin.vtt"),
    ("\uac00.vtt", "\u1100\u1161.vtt"),
]


@pytest.mark.parametrize("is_later_import", [False, True])
@pytest.mark.parametrize(("name", "other"), [*PAIRS, *(pair[::-1] for pair in PAIRS)])
def test_import_of_paths_that_collide_on_other_systems_is_refused(
    name: str, other: str, is_later_import: bool, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = manifest(tmp_path / "a.csv", "x.vtt", name)
    second = manifest(tmp_path / "b.csv", "y.vtt", other, "z.vtt")
    if is_later_import:
        assert import_into(out, first) == 2
    with pytest.raises(UsageError) as caught:
        import_into(out, *([second] if is_later_import else [first, second]))
    [summary, problem] = caught.value.message.split("\n")
    assert summary.startswith("1 problem in the manifest")
    path = unicodedata.normalize("NFC", other)
    assert problem in (
        f"{second}:3: name: {path!r} and the file of {first}:3 are one on macOS and Windows",
        f"{second}:3: name: {path!r} is the file of {first}:3 already",  # in one normal form
    )


def test_import_of_paths_that_differ_on_every_system_is_accepted(tmp_path: Path) -> None:
    names = [
        "caf\u00e9.vtt",
        "cafe.vtt",
        "\u65e5\u672c.vtt",
        "\u65e5\u672c\u8a9e.vtt",
        "\u0131.vtt",
        "i.vtt",
    ]
    source = manifest(tmp_path / "a.csv", *names)
    assert import_into(tmp_path / "out", source) == len(names)
    assert import_into(tmp_path / "out", source) == 0
