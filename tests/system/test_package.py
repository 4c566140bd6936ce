"""What comes with the package. `test_manifests_readme.py` runs `batchcap demo`."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHIPPED = (".py", ".html", ".css", ".js")
MANIFEST = ROOT / "manifests" / "demo.csv"


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a `wheel` or an `sdist` of a source tree; returns the file."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = target.iterdir()
    return built


def test_wheel_and_sdist_hold_every_module_and_the_demo_manifest(tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert (source / "manifests" / "demo.csv").read_bytes() == MANIFEST.read_bytes()
    wheel = build("wheel", source, tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("batchcap/cli/demo.csv") == MANIFEST.read_bytes()
        packed = {name for name in archive.namelist() if name.endswith(SHIPPED)}
    files = [path for end in SHIPPED for path in (ROOT / "batchcap").rglob(f"*{end}")]
    assert packed == {str(path.relative_to(ROOT)) for path in files}


def test_every_folder_of_the_package_has_an_init() -> None:
    folders = {path.parent for path in (ROOT / "batchcap").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
