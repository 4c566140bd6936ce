"""batchcap as of a git revision, unpacked into a folder.

`git archive` leaves nothing behind in the repository, even if it is killed; a worktree
would stay registered there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORKING_TREE = "."


def current() -> str:
    """The short hash of the working tree, with "-dirty" if it was changed since."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def unpack(revision: str, folder: Path) -> Path:
    """Unpack a revision into `folder` and return its path; "." is the working tree as it is.

    Raises:
        LookupError: Git does not know the revision, or Python would import batchcap
            from another place.
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
    if folder not in _imported_from(folder).parents:
        raise LookupError(f"{revision}: Python imports batchcap from {_imported_from(folder)}")
    return folder


def _imported_from(tree: Path) -> Path:
    """The file from which a competitor that runs in `tree` imports batchcap."""
    answer = subprocess.run(
        [sys.executable, "-c", "import batchcap; print(batchcap.__file__)"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(answer.stdout.strip())
