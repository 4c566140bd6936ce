"""Validates the body of a create."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from batchcap.sandbox.languages import display_name
from batchcap.sandbox.mux.errors import CreateRefusedError
from batchcap.sandbox.mux.jobs import CreateRequest

WORKFLOW = "translate-captions"

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=64)]


_Term = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Terms = Annotated[list[_Term], msgspec.Meta(min_length=1, max_length=100)]


class _Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    asset_id: _Id
    track_id: _Id
    to_language_code: _Tag
    upload_to_mux: bool = True
    never_translate: _Terms | UnsetType = UNSET
    track_name: _Id | UnsetType = UNSET
    replace_existing_tracks: Literal["fail", "replace_all", "replace_generated"] = "fail"


class _Body(msgspec.Struct, frozen=True):
    parameters: _Parameters
    passthrough: str | UnsetType = UNSET


_decode = msgspec.json.Decoder(_Body).decode


def caption_key(body: bytes) -> str:
    """Return the `caption_key` of the create in a body, or "" if it is invalid."""
    try:
        return parse_create(body).caption_key
    except CreateRefusedError:
        return ""


def parse_create(body: bytes) -> CreateRequest:
    """Return the create in a body, with the defaults filled in.

    Raises:
        CreateRefusedError: the body is invalid (400).
    """
    try:
        create = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CreateRefusedError(400, "invalid_parameters", str(error)) from None
    parameters = create.parameters
    language = parameters.to_language_code
    if not parameters.upload_to_mux and parameters.replace_existing_tracks != "fail":
        message = "replace_existing_tracks needs upload_to_mux."
        raise CreateRefusedError(400, "invalid_parameters", message)
    return CreateRequest(
        asset_id=parameters.asset_id,
        track_id=parameters.track_id,
        language=language,
        upload=parameters.upload_to_mux,
        track_name=parameters.track_name or f"{display_name(language)} (Auto-translated)",
        replace=parameters.replace_existing_tracks,
        parameters={
            **msgspec.to_builtins(parameters),
            "upload_to_mux": parameters.upload_to_mux,
        },
        passthrough=None if create.passthrough is UNSET else create.passthrough,
    )
