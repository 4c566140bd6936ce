"""Every request as HAR 1.2, for a bug report: without credentials, with signed links shortened.

The file is complete JSON after each entry: an entry overwrites the end of the document and
writes it again, in one write.

Format: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from yarl import URL

from batchcap.domain.errors import UsageError
from batchcap.domain.version import __version__

MAX_BODY = 64 * 1024
"""Bytes of a body that are kept."""

HIDDEN = "***"
"""In place of what is secret."""

_SECRET_HEADERS = frozenset(
    {
        *("authorization", "proxy-authorization", "x-api-key", "cookie", "set-cookie"),
        *("www-authenticate", "proxy-authenticate"),
    }
)
_SIGNED = re.compile(r"(https?://[^\s?\"'\\<>]+)\?[^\s\"'\\<>]*", re.IGNORECASE)
_END = b"]}}"


class HarFile:
    """A HAR file that grows with each request. `on_error` gets the reason if that fails later."""

    def __init__(self, path: Path, on_error: Callable[[str], None]) -> None:
        """Begin a new file.

        Raises:
            UsageError: It cannot be opened.
        """
        log = {"version": "1.2", "creator": {"name": "batchcap", "version": __version__}}
        head = orjson.dumps({"log": {**log, "entries": []}})
        try:
            self._file = path.open("wb", buffering=0)
            self._file.write(head)
        except OSError as error:
            raise UsageError(f"--trace {path}: {error.strerror or error}") from None
        self._on_error = on_error
        self._is_empty, self._has_failed = True, False

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; a file that cannot be written is reported once, and the run goes on."""
        if self._has_failed:
            return
        comma = b"" if self._is_empty else b",\n"
        self._is_empty = False
        try:
            end = self._file.seek(-len(_END), os.SEEK_END)
            text = comma + orjson.dumps(entry) + _END
            while text:  # a full disk may take a part of it first
                text = text[self._file.write(text) :]
        except OSError as error:
            self._has_failed = True
            self._on_error(f"the trace cannot be written: {error.strerror or error}")
            with contextlib.suppress(OSError):
                self._file.truncate(end)
                self._file.seek(end)
                self._file.write(_END)


class Exchange:
    """One request and what came back; `end` adds it to the file.

    `content` is the body that came back, if it is worth keeping; `size` counts its bytes.
    """

    def __init__(
        self, file: HarFile, method: str, url: URL, headers: Mapping[str, str], body: bytes | None
    ) -> None:
        self._file, self._began = file, _clock()
        is_api = not _SECRET_HEADERS.isdisjoint(map(str.lower, headers))
        self._entry: dict[str, Any] = {
            "startedDateTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request": {
                "method": method,
                "url": str(url) if is_api else _shortened(str(url)),
                "headers": _headers(headers),
                "queryString": [
                    {"name": name, "value": value}
                    for name, value in (url.query.items() if is_api else ())
                ],
                **_COMMON,
                "bodySize": len(body or b""),
            },
            "cache": {},
        }
        if body is not None:
            post = {"mimeType": "application/json", "text": _text(body)}
            self._entry["request"]["postData"] = post
        self._waited: float | None = None
        self._response: dict[str, Any] = {"status": 0, "headers": [], "redirectURL": ""}
        self.content, self.size = b"", 0

    def responded(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in the head of the response."""
        self._waited = _clock() - self._began
        location = _shortened(headers.get("location", ""))
        self._response = {"status": status, "headers": _headers(headers), "redirectURL": location}

    def end(self, error: str = "") -> None:
        """Add the exchange to the file, with the error if it failed."""
        took = _clock() - self._began
        waited = took if self._waited is None else self._waited
        content: dict[str, Any] = {"size": self.size, "mimeType": ""}
        if self.content:
            content |= {"mimeType": "application/json", "text": _text(self.content)}
        self._entry["response"] = {
            "statusText": "",
            **self._response,
            **_COMMON,
            "content": content,
            "bodySize": self.size,
        }
        self._entry["time"] = _milliseconds(took)
        self._entry["timings"] = {
            "send": 0,
            "wait": _milliseconds(waited),
            "receive": _milliseconds(took - waited),
        }
        if error:
            self._entry["_error"] = _shortened(error)
        self._file.add(self._entry)


_COMMON = {"httpVersion": "HTTP/1.1", "cookies": [], "headersSize": -1}


def _headers(headers: Mapping[str, str]) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "value": HIDDEN if name.lower() in _SECRET_HEADERS else _shortened(value),
        }
        for name, value in headers.items()
    ]


def _shortened(text: str) -> str:
    """Return a text with the query of each link hidden: it may be a signature."""
    return _SIGNED.sub(rf"\1?{HIDDEN}", text)


def _text(body: bytes) -> str:
    return _shortened(body[:MAX_BODY].decode("utf-8", "replace"))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _clock() -> float:
    return asyncio.get_running_loop().time()
