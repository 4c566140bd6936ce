"""Disks on which SQLite's write-ahead log is not safe.

WAL needs shared memory between the processes that use a file, which network
file systems do not give (sqlite.org/wal.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from batchcap.domain.errors import FatalError

_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|afs|ncpfs|9p|ceph|glusterfs|lustre|fuse\.(?!ext|ntfs).*"
)
_MOUNTS = Path("/proc/mounts")


def check_disk(folder: Path) -> None:
    """Refuse a folder on a network disk.

    Raises:
        FatalError: A ledger in `folder` would lie on a network disk.
    """
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return  # no such list on this system
    kind = file_system(folder.resolve(), mounts)
    if kind is not None and _NETWORK.fullmatch(kind):
        raise FatalError(
            f"the ledger must not lie on a network disk ({kind}): {folder}",
            hint="Choose a folder on a local disk with --out, and copy the captions afterwards.",
        )


def file_system(path: Path, mounts: Iterable[str]) -> str | None:
    """The kind of file system that holds a path, by the lines of /proc/mounts."""
    best: tuple[int, str] | None = None
    for line in mounts:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1]))
        if path.is_relative_to(point) and (best is None or len(point.parts) >= best[0]):
            best = (len(point.parts), fields[2])
    return best[1] if best else None
