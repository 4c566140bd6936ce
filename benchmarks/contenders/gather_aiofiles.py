"""What most people write first: gather, aiohttp, `json()`, aiofiles.

A task an item behind a semaphore, and each job asked for by itself. It asks twice a
job, which is few: a job of three minutes that is asked every 10 s is asked 18 times.

    python -m benchmarks.contenders.gather_aiofiles MANIFEST OUT [--loop uvloop] [--check]
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
from pathlib import Path

import aiofiles
import aiohttp
from yarl import URL

POLLS = 2
MUX, HEYGEN = os.environ.get("MUX_BASE_URL", ""), os.environ.get("HEYGEN_API_BASE", "")
JOBS = f"{MUX}/robots/v0/jobs/translate-captions"
AUTH = aiohttp.BasicAuth(os.environ.get("MUX_TOKEN_ID", ""), os.environ.get("MUX_TOKEN_SECRET", ""))
KEY = {"X-Api-Key": os.environ.get("HEYGEN_API_KEY", "")}


async def mux(session: aiohttp.ClientSession, row: dict[str, str]) -> tuple[str, str]:
    """Create, ask twice; link and path."""
    names = ("asset_id", "track_id", "to_language_code")
    body = {"parameters": {name: row[name] for name in names}}
    async with session.post(JOBS, json=body, auth=AUTH) as answer:
        answer.raise_for_status()
        job = (await answer.json())["data"]
    for _ in range(POLLS):
        async with session.get(f"{JOBS}/{job['id']}", auth=AUTH) as answer:
            answer.raise_for_status()
            job = (await answer.json())["data"]
    return job["outputs"]["temporary_vtt_url"], f"mux/{row['asset_id']}.{row['to_language_code']}"


async def heygen(session: aiohttp.ClientSession, row: dict[str, str]) -> tuple[str, str]:
    """Ask once; link and path."""
    name = row["video_translate_id"]
    async with session.get(f"{HEYGEN}/v3/video-translations/{name}", headers=KEY) as answer:
        answer.raise_for_status()
        return (await answer.json())["data"]["vtt_caption_url"], f"heygen/{name}"


async def run(manifest: Path, out: Path, check: bool) -> None:
    """All rows at once, 64 of them at work."""
    for folder in ("mux", "heygen"):
        (out / folder).mkdir(parents=True)
    places = asyncio.Semaphore(64)
    async with aiohttp.ClientSession() as session:

        async def one(row: dict[str, str]) -> None:
            async with places:
                find = mux if row["asset_id"] else heygen
                link, path = await find(session, row)
                async with session.get(URL(link, encoded=True)) as answer:
                    answer.raise_for_status()
                    data = await answer.read()
                if check:
                    captions.check(data)
                async with aiofiles.open(out / f"{path}.vtt", "wb") as file:
                    await file.write(data)

        with manifest.open(newline="") as rows:
            await asyncio.gather(*(one(row) for row in csv.DictReader(rows)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        from batchcap import captions
    work = run(given.manifest, given.out, given.check)
    if given.loop == "uvloop":
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)
