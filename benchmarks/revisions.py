"""batchcap as it was at some revision, in a folder of its own.

`git archive` leaves nothing behind in the repository, even where it is killed; a
worktree would stay registered there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.serving import ROOT

WORKING_TREE = "."


def unpacked(revision: str, folder: Path) -> Path:
    """The tree of a revision, unpacked into `folder`; "." is the working tree as it is.

    Raises `LookupError` where git does not know it, or where Python would import
    batchcap from somewhere else.
    """
    if revision == WORKING_TREE:
        return ROOT
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", revision], capture_output=True, check=False
    )
    if archive.returncode:
        raise LookupError(f"{revision}: {archive.stderr.decode().strip()}")
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    if folder not in _imported(folder).parents:
        raise LookupError(f"{revision}: Python imports batchcap from {_imported(folder)}")
    return folder


def _imported(tree: Path) -> Path:
    """Where a contender that runs in `tree` gets batchcap from."""
    asked = subprocess.run(
        [sys.executable, "-c", "import batchcap; print(batchcap.__file__)"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(asked.stdout.strip())
