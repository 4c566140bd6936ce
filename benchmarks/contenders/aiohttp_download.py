"""Files alone with aiohttp at its best: uvloop, 64 workers on one iterator, `read()`.

    python -m benchmarks.contenders.aiohttp_download LINKS

Each line of LINKS is a link and a path. One thread writes, many files a hop.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import uvloop
from yarl import URL

from benchmarks.yardstick import Group


def write(parcels: Sequence[tuple[str, bytes]]) -> None:
    """Many files in one thread hop."""
    for path, data in parcels:
        with open(path, "wb", buffering=0) as file:  # noqa: PTH123  # a Path costs more
            file.write(data)


async def run(lines: Iterator[str]) -> None:
    """Every link to its path."""
    files = Group(write)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:

        async def worker() -> None:
            for line in lines:
                link, path = line.split(" ")
                async with session.get(URL(link, encoded=True)) as answer:
                    answer.raise_for_status()
                    await files.do((path, await answer.read()))

        await asyncio.gather(*(worker() for _ in range(64)))


if __name__ == "__main__":
    uvloop.run(run(iter(Path(sys.argv[1]).read_text().splitlines())))
