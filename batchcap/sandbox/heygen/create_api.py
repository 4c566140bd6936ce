"""HeyGen v3: creates translations, alone and in batches.

batchcap never does that. A rehearsal needs it no more than batchcap does, but a create that is
sent by mistake must show up in the request log with its price, as it would on a bill.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any
from urllib.parse import parse_qs

from batchcap.sandbox import random_draws
from batchcap.sandbox.heygen.create_request import (
    CreateTranslation,
    InvalidCreateError,
    parse_batch,
    parse_translation,
)
from batchcap.sandbox.heygen.errors import invalid_parameter, is_number, page, v3_error
from batchcap.sandbox.heygen.translations import Translation
from batchcap.sandbox.http_types import Request, Response, json_response
from batchcap.sandbox.id_keywords import HEYGEN_KEYWORDS, keywords
from batchcap.sandbox.languages import tags_by_name
from batchcap.sandbox.world import World

_KEY = re.compile(r"[A-Za-z0-9_:.-]{1,255}")
"""A valid Idempotency-Key (HeyGen docs)."""

_DOLLARS_PER_SECOND = {"speed": 0.05, "precision": 0.10}
"""The price of a translation on a self-serve plan (HeyGen docs)."""


class CreateApi:
    """The handlers of the routes that create translations."""

    def __init__(self, world: World) -> None:
        self._world = world

    def create(self, request: Request) -> Response:
        """Create one translation a language: 200, 400, 409, or 429 beyond the concurrency."""
        return self._create_once(request, self._create)

    def create_batch(self, request: Request) -> Response:
        """Create up to 100 translations with 202. They start as soon as there is a slot."""
        return self._create_once(request, self._create_batch)

    def get_batch(self, request: Request, status_of: Callable[[str], dict[str, Any]]) -> Response:
        """Return a batch with a page of its items; `status_of` is the entry in the statuses."""
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        limit, token = query.get("limit", "100"), query.get("token", "0")
        if not (is_number(limit) and 1 <= int(limit) <= 100):
            return invalid_parameter("limit", "limit must be between 1 and 100")
        if not is_number(token):
            return invalid_parameter("token", "token is not valid")
        items = self._world.translations.batch(request.segments[-1])
        if not items:
            return v3_error(404, "resource_not_found", "Batch not found")
        rows = [status_of(item.id) for item in items]
        counts = {row["status"]: 0 for row in rows}
        for row in rows:
            counts[row["status"]] += 1
        is_finished = counts.keys() <= {"completed", "failed"}
        end = int(token) + int(limit)
        shown = page(rows[int(token) : end], end, len(rows))
        data = {
            "batch_id": request.segments[-1],
            "status": _batch_status(counts) if is_finished else "processing",
            "total_items": len(items),
            "counts_by_status": counts,
            "title": None,
            "created_at": int(items[0].created),
            "items": shown.pop("data"),
            **shown,
        }
        return json_response(200, {"data": data})

    def _create_once(self, request: Request, create: Callable[[Request], Response]) -> Response:
        """Carry out a create, unless its Idempotency-Key was used before on that route."""
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return create(request)
        if not _KEY.fullmatch(key):
            return invalid_parameter("Idempotency-Key", "1 to 255 of A-Z a-z 0-9 _ : . -")
        scope = f"{request.segments[-1]} {key}"
        earlier = self._world.translations.repeated(scope, request.now)
        if earlier is not None:
            if request.now < earlier.in_progress_until:
                return v3_error(409, "request_in_progress", "The first request is in progress")
            return Response(earlier.status, earlier.body)
        response = create(request)
        if response.status < 300:
            seconds = self._world.options.heygen_write_seconds
            self._world.translations.remember(scope, response, request.now, seconds)
        return response

    def _create(self, request: Request) -> Response:
        try:
            create = parse_translation(request.body)
        except InvalidCreateError as error:
            return invalid_parameter(error.parameter, str(error))
        if "missing" in keywords(create.source):
            return v3_error(400, "download_failed", "The video could not be downloaded")
        slots = self._world.options.heygen_concurrency
        running = len(self._world.translations.running(request.now))
        if running + len(create.output_languages) > slots:
            seconds = str(max(1, ceil(self._world.options.heygen_finish_seconds)))
            message = f"At most {slots} concurrent video jobs"
            return v3_error(429, "rate_limit_exceeded", message, (("Retry-After", seconds),))
        translations = self._add([create], request.now, None)
        return json_response(
            200, {"data": {"video_translation_ids": [item.id for item in translations]}}
        )

    def _create_batch(self, request: Request) -> Response:
        try:
            batch = parse_batch(request.body)
        except InvalidCreateError as error:
            return invalid_parameter(error.parameter, str(error))
        number = len(self._world.translations.by_id)
        batch_id = f"batch_{random_draws.hex_digits(24, 'batch', number, request.now)}"
        self._add(batch.video_translations, request.now, batch_id)
        return json_response(202, {"data": {"batch_id": batch_id}})

    def _add(
        self, creates: Sequence[CreateTranslation], now: float, batch_id: str | None
    ) -> list[Translation]:
        store, options = self._world.translations, self._world.options
        items = [(create, name) for create in creates for name in create.output_languages]
        ids = [
            self._new_id(create, name, len(store.by_id) + offset)
            for offset, (create, name) in enumerate(items)
        ]
        lengths = [self._length(identifier) for identifier in ids]
        starts = store.next_starts(now, lengths, options.heygen_concurrency)
        translations = [
            _translation(identifier, create, name, now, start, length, batch_id, index)
            for index, (identifier, (create, name), start, length) in enumerate(
                zip(ids, items, starts, lengths, strict=True)
            )
        ]
        store.add(translations)
        for item in translations:
            self._world.record_change(item.id)
        return translations

    def _new_id(self, create: CreateTranslation, name: str, number: int) -> str:
        """Return an id with the keywords of the source and the tag of the language."""
        unique = random_draws.hex_digits(32, self._world.options.seed, "created", number)
        inherited = sorted(keywords(create.source) & HEYGEN_KEYWORDS.keys())
        return "-".join([unique, *inherited, tags_by_name()[name]])

    def _length(self, identifier: str) -> float | None:
        if "stuck" in keywords(identifier):
            return None
        share = random_draws.uniform(self._world.options.seed, "finish", identifier)
        return share * self._world.options.heygen_finish_seconds


def _translation(
    identifier: str,
    create: CreateTranslation,
    name: str,
    now: float,
    start: float | None,
    length: float | None,
    batch_id: str | None,
    index: int,
) -> Translation:
    seconds = round(30 + 600 * random_draws.uniform("duration", create.source), 1)
    return Translation(
        id=identifier,
        language=name,
        seconds=seconds,
        dollars=round(seconds * _DOLLARS_PER_SECOND[create.mode], 4),
        created=now,
        starts=start,
        ends=None if length is None or start is None else start + length,
        enable_caption=create.enable_caption,
        title=create.title,
        callback_id=create.callback_id,
        batch_id=batch_id,
        item_index=None if batch_id is None else index,
    )


def _batch_status(counts: dict[str, int]) -> str:
    return "completed" if "completed" in counts else "failed"
