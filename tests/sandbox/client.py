"""A plain HTTP client of the sandbox: no retries, no rate limiting, nothing of the engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from yarl import URL

from batchcap.sandbox import Sandbox, SandboxOptions

EPOCH = 1_790_000_000.0


class Response(NamedTuple):
    """Status, headers and body of a response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def checkable(self) -> tuple[int, bytes, Mapping[str, str]]:
        """The response in the form that `Specification.check_response` expects."""
        return self.status, self.body, self.headers

    @property
    def data(self) -> Any:
        return self.json["data"]


class SandboxClient:
    """Sends requests to a sandbox, with the URLs and credentials of its environment."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
        self.sandbox = sandbox
        self.session = session
        self.environment = sandbox.environment()

    async def fetch(
        self, url: str, method: str = "GET", body: Any = None, **headers: str
    ) -> Response:
        """Send a request; the URL is not re-encoded, no redirect is followed."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        async with self.session.request(
            method, URL(url, encoded=True), data=data, headers=headers, allow_redirects=False
        ) as response:
            return Response(response.status, response.headers, await response.read())

    async def control(self, path: str, method: str = "GET", body: Any = None) -> Response:
        """Send a request to the sandbox's own routes."""
        return await self.fetch(f"{self.sandbox.url}/sandbox{path}", method, body)

    async def mux(self, path: str, method: str = "GET", body: Any = None) -> Response:
        """Send a request to Mux with valid credentials."""
        credentials = self.environment["MUX_TOKEN_ID"], self.environment["MUX_TOKEN_SECRET"]
        authorization = aiohttp.encode_basic_auth(*credentials)
        url = self.environment["MUX_BASE_URL"] + path
        return await self.fetch(url, method, body, Authorization=authorization)

    async def heygen(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> Response:
        """Send a request to HeyGen with a valid key."""
        url = self.environment["HEYGEN_API_BASE"] + path
        key = {"X-Api-Key": self.environment["HEYGEN_API_KEY"]}
        return await self.fetch(url, method, body, **key, **headers)

    async def stream(self, path: str) -> Response:
        """Send a request to the stream host."""
        return await self.fetch(self.environment["MUX_STREAM_BASE_URL"] + path)

    async def find_track(self, asset_id: str, language: str = "en") -> str:
        """Return the id of the first text track of an asset in a language."""
        tracks = (await self.mux(f"/video/v1/assets/{asset_id}")).data["tracks"]
        return str(
            next(
                track["id"]
                for track in tracks
                if track.get("language_code") == language and track["type"] == "text"
            )
        )

    async def create(self, asset_id: str, language: str = "es", **parameters: Any) -> Response:
        """Create a Mux job; `passthrough` becomes a field beside the parameters."""
        body: dict[str, Any] = {"parameters": parameters}
        if "passthrough" in parameters:
            body["passthrough"] = parameters.pop("passthrough")
        parameters.setdefault("track_id", "the-track")
        parameters |= {"asset_id": asset_id, "to_language_code": language}
        return await self.mux("/robots/v0/jobs/translate-captions", "POST", body)

    async def get_job(self, job_id: str) -> Response:
        """Request a Mux job."""
        return await self.mux(f"/robots/v0/jobs/translate-captions/{job_id}")

    async def cancel_job(self, job_id: str) -> Response:
        """Cancel a Mux job."""
        return await self.mux(f"/robots/v0/jobs/{job_id}/cancel", "POST")

    async def run_job(self, asset_id: str, language: str = "es", **parameters: Any) -> Any:
        """Create a Mux job, wait 60 s, which is longer than jobs take, and return it."""
        created = await self.create(asset_id, language, **parameters)
        await asyncio.sleep(60)
        return (await self.get_job(created.data["id"])).data


@asynccontextmanager
async def sandbox_client(state: Path | None = None, **options: Any) -> AsyncIterator[SandboxClient]:
    """Start a sandbox with these options and yield a client of it."""
    sandbox_options = SandboxOptions(**{"epoch": EPOCH, **options})
    async with Sandbox(sandbox_options, state) as sandbox, aiohttp.ClientSession() as session:
        yield SandboxClient(sandbox, session)
