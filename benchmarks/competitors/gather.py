"""What most people write first: gather, aiohttp, `json()`, aiofiles.

One task for each item, 64 of them at work, and each job is polled by itself. Two polls a
job are few: a job of three minutes that is polled every 10 s takes 18.

    python -m benchmarks.competitors.gather MANIFEST OUT
"""

from __future__ import annotations

import asyncio
import csv
import os
import sys
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
    """Create a job and poll it; return link and path."""
    names = ("asset_id", "track_id", "to_language_code")
    body = {"parameters": {name: row[name] for name in names}}
    async with session.post(JOBS, json=body, auth=AUTH) as response:
        response.raise_for_status()
        job = (await response.json())["data"]
    for _ in range(POLLS):
        async with session.get(f"{JOBS}/{job['id']}", auth=AUTH) as response:
            response.raise_for_status()
            job = (await response.json())["data"]
    return job["outputs"]["temporary_vtt_url"], f"mux/{row['asset_id']}.{row['to_language_code']}"


async def heygen(session: aiohttp.ClientSession, row: dict[str, str]) -> tuple[str, str]:
    """Get the translation; return link and path."""
    name = row["video_translate_id"]
    async with session.get(f"{HEYGEN}/v3/video-translations/{name}", headers=KEY) as response:
        response.raise_for_status()
        return (await response.json())["data"]["vtt_caption_url"], f"heygen/{name}"


async def run(manifest: Path, out: Path) -> None:
    """Fetch the captions of all rows."""
    for folder in ("mux", "heygen"):
        (out / folder).mkdir(parents=True)
    semaphore = asyncio.Semaphore(64)
    async with aiohttp.ClientSession() as session:

        async def process(row: dict[str, str]) -> None:
            async with semaphore:
                get_link = mux if row["asset_id"] else heygen
                link, path = await get_link(session, row)
                async with session.get(URL(link, encoded=True)) as response:
                    response.raise_for_status()
                    data = await response.read()
                async with aiofiles.open(out / f"{path}.vtt", "wb") as file:
                    await file.write(data)

        with manifest.open(newline="") as rows:
            await asyncio.gather(*(process(row) for row in csv.DictReader(rows)))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
