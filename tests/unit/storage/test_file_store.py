"""The output folder: files under their final names are complete or absent."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from batchcap.domain.errors import FatalError, RowError
from batchcap.storage.file_store import CaptionStore, store_failed
from tests.harness.files import file_size_limit

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["inline", "threaded"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "inline":
        yield None
        return
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def store(tmp_path: Path, executor: Executor | None) -> CaptionStore:
    return CaptionStore(tmp_path / "out", executor)


@contextmanager
def open_files(*, more: int) -> Iterator[None]:
    """Limit this process to the open files that it has now and `more`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as probe:
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


async def test_store_place_creates_the_folders(store: CaptionStore) -> None:
    await store.place("mux/deep/er/a.es.vtt", b"data")
    assert files(store.root) == {"mux/deep/er/a.es.vtt": b"data"}


async def test_store_place_of_many_files_writes_all(store: CaptionStore) -> None:
    wanted = {f"p{number % 3}/f{number}.vtt": b"%d" % number for number in range(200)}
    await asyncio.gather(*(store.place(path, data) for path, data in wanted.items()))
    assert files(store.root) == wanted


async def test_store_place_replaces_an_older_file(store: CaptionStore) -> None:
    await store.place("a.vtt", b"a longer first version")
    await store.place("a.vtt", b"second")
    assert files(store.root) == {"a.vtt": b"second"}


async def test_store_place_without_data_renames_the_part_file(store: CaptionStore) -> None:
    part = store.part("d/a.vtt")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"streamed")
    await store.place("d/a.vtt", None)
    assert files(store.root) == {"d/a.vtt": b"streamed"}


async def test_store_place_overwrites_a_part_file_left_by_a_kill(store: CaptionStore) -> None:
    part = store.part("a.vtt")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half of something that was longer than the new file")
    await store.place("a.vtt", b"whole")
    assert files(store.root) == {"a.vtt": b"whole"}


async def test_store_part_is_hidden_beside_its_target(store: CaptionStore) -> None:
    part = store.part("d/a.vtt")
    assert part.parent == store.root / "d"
    assert part.name.startswith(".")
    assert part != store.root / "d/a.vtt"


@pytest.mark.parametrize(
    "name", ["x" * 251 + ".vtt", "\u6f22" * 83 + ".vtt", "\U0001f600" * 62 + ".vtt"]
)
async def test_store_place_takes_the_longest_name_of_a_manifest(
    store: CaptionStore, name: str
) -> None:
    assert len(name.encode()) <= 255
    await store.place(name, b"data")
    assert files(store.root) == {name: b"data"}


async def test_store_part_differs_if_long_names_begin_alike(store: CaptionStore) -> None:
    names = ["x" * 220 + f"{number}.vtt" for number in range(3)]
    assert len({store.part(name) for name in names}) == 3
    await asyncio.gather(*(store.place(name, name.encode()) for name in names))
    assert files(store.root) == {name: name.encode() for name in names}


async def test_store_place_name_too_long_does_not_affect_other_files(store: CaptionStore) -> None:
    names = ["a.vtt", "x" * 300 + ".vtt", "y" * 300 + "/b.vtt", "c.vtt"]
    placed = (store.place(name, b"data") for name in names)
    first, *refused, last = await asyncio.gather(*placed, return_exceptions=True)
    assert (first, last) == (None, None)
    assert [isinstance(error, RowError) and error.code for error in refused] == ["cannot_store"] * 2
    assert files(store.root) == {"a.vtt": b"data", "c.vtt": b"data"}


@pytest.mark.parametrize(
    "number", [errno.EINVAL, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.ENOTDIR]
)
def test_store_failed_refused_name_fails_the_row(number: int) -> None:
    error = OSError(number, os.strerror(number), "a.vtt")
    assert isinstance(store_failed(error, Path("a.vtt")), RowError)


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.ENOTCONN, errno.ESTALE, errno.EACCES]
)
def test_store_failed_disk_stops_the_run(number: int) -> None:
    error = OSError(number, os.strerror(number), "a.vtt")
    assert isinstance(store_failed(error, Path("a.vtt")), FatalError)


def test_store_failed_sync_stops_the_run() -> None:
    error = OSError(errno.EINVAL, os.strerror(errno.EINVAL))  # `fsync` names no file
    assert isinstance(store_failed(error, Path("a.vtt")), FatalError)


async def test_store_place_and_read_below_a_file_are_cannot_store(store: CaptionStore) -> None:
    await store.place("a", b"a file")
    for step in (store.place("a/b.vtt", b"data"), store.read("a/b.vtt", 0.0)):
        with pytest.raises(RowError, match=r"cannot write .*a/b\.vtt.*; remove the file") as caught:
            await step
        assert (caught.value.code, caught.value.retryable) == ("cannot_store", True)
    assert files(store.root) == {"a": b"a file"}


@pytest.mark.parametrize("inner", ["", "captions"])
async def test_store_output_folder_that_is_or_is_below_a_file_is_fatal(
    store: CaptionStore, inner: str
) -> None:
    """The output folder itself is affected, and with it every row."""
    store.root.write_bytes(b"")
    below = CaptionStore(store.root / inner, store.executor)
    for step in (below.place("captions/a.vtt", b"data"), below.read("captions/a.vtt", 0.0)):
        with pytest.raises(FatalError, match="Not a directory") as caught:
            await step
        assert "Remove the file" in caught.value.hint


async def test_store_place_onto_a_folder_is_cannot_store_and_leaves_no_part(
    store: CaptionStore,
) -> None:
    (store.root / "a.vtt").mkdir(parents=True)
    with pytest.raises(RowError, match="resume --retry-failed") as caught:
        await store.place("a.vtt", b"data")
    assert (caught.value.code, caught.value.retryable) == ("cannot_store", True)
    assert files(store.root) == {}


async def test_store_read_of_a_folder_finds_no_file(store: CaptionStore) -> None:
    (store.root / "a.vtt").mkdir(parents=True)
    assert await store.read("a.vtt", 0.0) is None


@pytest.mark.parametrize("name", ["x" * 300 + ".vtt", "y" * 300 + "/b.vtt"])
async def test_store_read_of_a_name_too_long_is_cannot_store(
    store: CaptionStore, name: str
) -> None:
    """The engine looks for the file of a killed run first; such a name must fail only its row."""
    store.root.mkdir()
    with pytest.raises(RowError) as caught:
        await store.read(name, 0.0)
    assert caught.value.code == "cannot_store"


async def test_store_place_without_data_and_part_file_is_fatal(store: CaptionStore) -> None:
    store.root.mkdir()
    with pytest.raises(FatalError):
        await store.place("a.vtt", None)
    assert files(store.root) == {}


async def test_store_place_on_a_full_disk_is_fatal_and_leaves_nothing(tmp_path: Path) -> None:
    store = CaptionStore(tmp_path, None)
    with file_size_limit(3), pytest.raises(FatalError, match="File too large"):
        await store.place("a.vtt", b"data")
    assert list(tmp_path.iterdir()) == []


async def test_store_place_that_fails_does_not_affect_the_rest_of_the_batch(
    store: CaptionStore,
) -> None:
    await store.place("a", b"a file")
    wanted = [store.place(path, b"data") for path in ("b.vtt", "a/x.vtt", "c/d.vtt")]
    results = await asyncio.gather(*wanted, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), RowError, type(None)]
    assert files(store.root) == {"a": b"a file", "b.vtt": b"data", "c/d.vtt": b"data"}


async def test_store_place_that_fails_does_not_affect_files_in_its_folder(
    store: CaptionStore,
) -> None:
    (store.root / "d/b.vtt").mkdir(parents=True)
    wanted = [store.place(f"d/{name}.vtt", b"data") for name in "abc"]
    results = await asyncio.gather(*wanted, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), RowError, type(None)]
    assert files(store.root) == {"d/a.vtt": b"data", "d/c.vtt": b"data"}


async def test_store_place_of_many_files_needs_few_descriptors(store: CaptionStore) -> None:
    wanted = {f"f{number}.vtt": b"%d" % number for number in range(300)}
    with open_files(more=40):
        await asyncio.gather(*(store.place(path, data) for path, data in wanted.items()))
    assert files(store.root) == wanted


async def test_store_place_cancelled_leaves_the_file_complete_or_absent(
    store: CaptionStore,
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.place("a.vtt", b"data")
    await store.drain()
    assert files(store.root) in ({}, {"a.vtt": b"data"})
