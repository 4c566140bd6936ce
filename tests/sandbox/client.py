"""A plain client of the sandbox: no retries, no pacing, nothing of the engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from batchcap.sandbox import Sandbox, SandboxOptions

EPOCH = 1_790_000_000.0


class Reply(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        return self.json["data"]


class Client:
    """Asks a sandbox as its environment says."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.around = sandbox.environment()

    async def fetch(self, url: str, method: str = "GET", body: Any = None, **headers: str) -> Reply:
        """One request, the URL as it is."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        url_given = URL(url, encoded=True)
        async with self.session.request(
            method, url_given, data=data, headers=headers, allow_redirects=False
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def mux(self, path: str, method: str = "GET", body: Any = None) -> Reply:
        """One request to Mux with the right credentials."""
        pair = self.around["MUX_TOKEN_ID"], self.around["MUX_TOKEN_SECRET"]
        url = self.around["MUX_BASE_URL"] + path
        return await self.fetch(url, method, body, Authorization=aiohttp.encode_basic_auth(*pair))

    async def heygen(self, path: str, method: str = "GET") -> Reply:
        """One request to HeyGen with the right key."""
        url = self.around["HEYGEN_API_BASE"] + path
        return await self.fetch(url, method, **{"X-Api-Key": self.around["HEYGEN_API_KEY"]})

    async def stream(self, path: str) -> Reply:
        """One request to the stream host."""
        return await self.fetch(self.around["MUX_STREAM_BASE_URL"] + path)

    async def track(self, asset_id: str, language: str = "en") -> str:
        """The first text track of an asset in a language."""
        tracks = (await self.mux(f"/video/v1/assets/{asset_id}")).data["tracks"]
        return str(
            next(
                t["id"]
                for t in tracks
                if t.get("language_code") == language and t["type"] == "text"
            )
        )

    async def create(self, asset_id: str, language: str = "es", **parameters: Any) -> Reply:
        """Create a job; `passthrough` is a field of its own."""
        body: dict[str, Any] = {"parameters": parameters}
        if "passthrough" in parameters:
            body["passthrough"] = parameters.pop("passthrough")
        parameters.setdefault("track_id", "the-track")
        parameters |= {"asset_id": asset_id, "to_language_code": language}
        return await self.mux("/robots/v0/jobs/translate-captions", "POST", body)

    async def job(self, identifier: str) -> Reply:
        """One job."""
        return await self.mux(f"/robots/v0/jobs/translate-captions/{identifier}")

    async def ended(self, asset_id: str, language: str = "es", **parameters: Any) -> Any:
        """Create a job and come back when it has ended."""
        created = await self.create(asset_id, language, **parameters)
        await asyncio.sleep(60)
        return (await self.job(created.data["id"])).data


@asynccontextmanager
async def asking(**options: Any) -> AsyncIterator[Client]:
    """A sandbox with these options and its client."""
    made = SandboxOptions(**{"epoch": EPOCH, **options})
    async with Sandbox(made) as sandbox, aiohttp.ClientSession() as session:
        yield Client(sandbox, session)
