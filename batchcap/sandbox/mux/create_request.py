"""The body of a create: what Robots takes, and how it refuses the rest.

Mux docs: an error of Robots is `{"error": {"type", "message"}}`, with a single
message, unlike those of the Video API.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from batchcap.sandbox.http_types import Answer, as_json
from batchcap.sandbox.mux.jobs import CreateRequest

WORKFLOW = "translate-captions"

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=64)]


class _Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    asset_id: _Id
    track_id: _Id
    to_language_code: _Tag
    upload_to_mux: bool = True
    never_translate: list[str] | None = None
    track_name: _Id | None = None
    replace_existing_tracks: Literal["fail", "replace_all", "replace_generated"] = "fail"


class _Create(msgspec.Struct, frozen=True):
    parameters: _Parameters
    passthrough: str | None = None


_decode = msgspec.json.Decoder(_Create).decode


class Refusal(Exception):
    """A create that the API does not take: its status, type and message."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.answer = error(status, kind, message)


def error(status: int, kind: str, message: str) -> Answer:
    """An error as Robots tells it."""
    return as_json(status, {"error": {"type": kind, "message": message}})


def about(body: bytes) -> str:
    """What a create is about, as a key: asset, source track and language."""
    try:
        return parse(body).key
    except Refusal:
        return ""


def parse(body: bytes) -> CreateRequest:
    """The order in a create's body, its defaults filled in; raises `Refusal`, a 422."""
    try:
        create = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Refusal(422, "invalid_parameters", str(fault)) from None
    given = create.parameters
    language = given.to_language_code
    return CreateRequest(
        asset_id=given.asset_id,
        track_id=given.track_id,
        language=language,
        upload=given.upload_to_mux,
        track_name=given.track_name or f"{language} (Auto-translated)",
        replace=given.replace_existing_tracks,
        parameters={**msgspec.to_builtins(given), "upload_to_mux": given.upload_to_mux},
        passthrough=create.passthrough,
    )
