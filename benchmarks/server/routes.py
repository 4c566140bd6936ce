"""The answer to each request, in the shapes in which the providers give them.

Every job has completed when it is first polled. The server keeps no jobs: a job's id
contains its caption's name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from benchmarks import caption_text

FILES = "/files"
JOBS = "/robots/v0/jobs"
TRANSLATE = f"{JOBS}/translate-captions"
TRANSLATIONS = "/v3/video-translations"

_PAGE_SIZE = 100
_FOREIGN_PAGES = 1000
"""Pages of a HeyGen list that names none of the manifest's translations."""

_CREATED_AT = 1_795_000_000
_SIGNATURE = "9f2c61d0a4" * 25
"""About as long as a Google or CloudFront signature makes a link."""

Response = tuple[bytes, ...]


class Routes:
    """Answers requests and counts them by route; `origin` is what links start with."""

    def __init__(self, origin: str, caption_bytes: int) -> None:
        self._origin, self._caption_bytes = origin, caption_bytes
        self._counts: Counter[str] = Counter()
        self._by_path: dict[str, Callable[[Mapping[str, str]], Response]] = {
            JOBS: self._list_jobs,
            TRANSLATIONS: self._list_translations,
            f"{TRANSLATIONS}/statuses": self._get_statuses,
            "/count": self._get_counts,
        }
        self._by_folder: dict[str, Callable[[str], Response]] = {
            FILES: self._get_file,
            TRANSLATE: self._get_job,
            TRANSLATIONS: self._get_translation,
        }
        foreign = [self._translation(f"other-tr-{number:07}") for number in range(_PAGE_SIZE)]
        self._foreign_page = b",".join(orjson.dumps(translation) for translation in foreign)

    def handle(self, method: bytes, target: str, body: bytes) -> Response:
        """The whole response to one request, in pieces."""
        path, _, query = target.partition("?")
        if method == b"POST":
            return self._create_job(body) if path == TRANSLATE else _not_found()
        if handler := self._by_path.get(path):
            return handler(dict(parse_qsl(query)))
        folder, _, name = path.rpartition("/")
        named_handler = self._by_folder.get(folder)
        return named_handler(name) if named_handler else _not_found()

    def _get_counts(self, _query: Mapping[str, str]) -> Response:
        return _json({"requests": self._counts, "cpu": time.process_time()})

    def _get_file(self, name: str) -> Response:
        self._counts["file"] += 1
        first, rest = caption_text.caption(name.removesuffix(".vtt"), self._caption_bytes)
        return (_head(b"200 OK", b"text/vtt", self._caption_bytes) + first, rest)

    def _create_job(self, body: bytes) -> Response:
        self._counts["create"] += 1
        request = orjson.loads(body)
        parameters = request["parameters"]
        name = f"{parameters['asset_id']}.{parameters['to_language_code']}"
        job = _job(name, "pending") | {"passthrough": request.get("passthrough")}
        return _json({"data": job}, b"202 Accepted")

    def _get_job(self, job_id: str) -> Response:
        self._counts["job"] += 1
        name = job_id.removeprefix("rjob_")
        outputs = {"uploaded_track_id": f"track-{name}", "temporary_vtt_url": self._link(name)}
        return _json({"data": _job(name, "completed") | {"units_consumed": 1, "outputs": outputs}})

    def _list_jobs(self, _query: Mapping[str, str]) -> Response:
        """No job is ever active, and batchcap asks for active jobs only."""
        self._counts["jobs list"] += 1
        return _json({"data": [], "total_row_count": 0})

    def _list_translations(self, query: Mapping[str, str]) -> Response:
        self._counts["translations list"] += 1
        page = int(query.get("token", 0)) + 1
        more = (
            b'"has_more":true,"next_token":"%d"' % page
            if page <= _FOREIGN_PAGES
            else b'"has_more":false'
        )
        body = b'{"data":[%b],%b}' % (self._foreign_page, more)
        return _response(b"200 OK", b"application/json", body)

    def _get_statuses(self, query: Mapping[str, str]) -> Response:
        self._counts["statuses"] += 1
        ids = query["video_translation_ids"].split(",")
        rest = {"status": "completed", "error": None, "batch_id": None, "item_index": None}
        states = [{"video_id": translation_id, **rest} for translation_id in ids]
        return _json({"data": states, "has_more": False, "next_token": None})

    def _get_translation(self, name: str) -> Response:
        self._counts["translation"] += 1
        return _json({"data": self._translation(name)})

    def _translation(self, name: str) -> dict[str, Any]:
        return {
            "id": name,
            "title": f"Translation {name}",
            "status": "completed",
            "input_language": "en",
            "output_language": "es",
            "duration": 260.2,
            "created_at": _CREATED_AT,
            "callback_id": None,
            "translate_audio_only": False,
            "video_url": f"{self._origin}/video_translate/{name}/{name}.mp4",
            "audio_url": None,
            "srt_caption_url": None,
            "vtt_caption_url": self._link(name),
        }

    def _link(self, name: str) -> str:
        return f"{self._origin}{FILES}/{name}.vtt?Expires=1895871928&Signature={_SIGNATURE}"


def _job(name: str, status: str) -> dict[str, Any]:
    asset, _, language = name.rpartition(".")
    parameters = {"asset_id": asset, "track_id": f"{asset}-en", "to_language_code": language}
    links = {"self": {"href": f"/video/v1/assets/{asset}"}}
    return {
        "id": f"rjob_{name}",
        "workflow": "translate-captions",
        "status": status,
        "created_at": _CREATED_AT,
        "updated_at": _CREATED_AT,
        "units_consumed": 0,
        "parameters": {**parameters, "upload_to_mux": True},
        "resources": {"assets": [{"id": asset, "_links": links}]},
    }


def _not_found() -> Response:
    return _response(b"404 Not Found", b"text/plain", b"no such route")


def _json(value: object, status: bytes = b"200 OK") -> Response:
    return _response(status, b"application/json", orjson.dumps(value))


def _response(status: bytes, content_type: bytes, body: bytes) -> Response:
    return (_head(status, content_type, len(body)) + body,)


def _head(status: bytes, content_type: bytes, length: int) -> bytes:
    return (
        b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n"
        b"Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
        b"X-Request-Id: 8ebdb1982891a23a06878bbf4e759a96\r\n\r\n"
    ) % (status, content_type, length)
