"""Files alone with batchcap's own HTTP client and nothing else of it.

    python -m benchmarks.contenders.client_download LINKS

Each line of LINKS is a link and a path. Written in the loop, as curl does: what is left
of batchcap's own figure is the thread, the check, the sync and the books.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

from batchcap.http import Address, Client, Patience

_PATIENCE = Patience(connect=10.0, silence=30.0, head=60.0, whole=1800.0)


async def run(lines: Iterator[str]) -> None:
    """Every link to its path."""
    client = Client({"User-Agent": "batchcap"})

    async def fetched(link: str) -> bytes:
        with await client.request("GET", Address.of(link), patience=_PATIENCE) as answer:
            if answer.status != 200:
                raise SystemExit(f"{link} answered {answer.status}")
            pieces = []
            while piece := await answer.piece():
                pieces.append(piece)
        return b"".join(pieces)

    async def worker() -> None:
        for line in lines:
            link, path = line.split(" ")
            data = await fetched(link)
            with open(path, "wb", buffering=0) as file:  # noqa: ASYNC230, PTH123  # as curl
                file.write(data)

    await asyncio.gather(*(worker() for _ in range(64)))
    await client.close()


if __name__ == "__main__":
    uvloop.run(run(iter(Path(sys.argv[1]).read_text().splitlines())))
