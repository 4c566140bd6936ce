"""A ledger on a network disk is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcap.storage.ledger.filesystem import check_disk, file_system

MOUNTS = [
    "/dev/sda1 / ext4 rw 0 0",
    "server:/media /mnt/media nfs4 rw 0 0",
    "tmpfs /mnt/media/fast tmpfs rw 0 0",
    r"//nas/share /mnt/with\040space cifs rw 0 0",
    "garbage",
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/captions", "ext4"),
        ("/mnt/media/captions", "nfs4"),
        ("/mnt/mediasomething", "ext4"),
        ("/mnt/media/fast/captions", "tmpfs"),
        ("/mnt/with space/captions", "cifs"),
    ],
)
def test_file_system_of_a_path_is_that_of_the_innermost_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == kind


def test_check_disk_accepts_a_local_disk(tmp_path: Path) -> None:
    check_disk(tmp_path)
