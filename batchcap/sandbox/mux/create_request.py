"""Validates the body of a create.

Mux docs: an error of Robots is `{"error": {"type", "message"}}`. In practice it has an array
`messages`, like the errors of the Video API.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from batchcap.sandbox.http_types import Response, json_response
from batchcap.sandbox.mux.jobs import CreateRequest

WORKFLOW = "translate-captions"
DASHBOARD = "https://dashboard.mux.com/organizations/sandbox/environments/sandbox"

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Tag = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=64)]


_Term = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
_Terms = Annotated[list[_Term], msgspec.Meta(min_length=1, max_length=100)]


class _Parameters(msgspec.Struct, frozen=True, omit_defaults=True):
    asset_id: _Id
    track_id: _Id
    to_language_code: _Tag
    upload_to_mux: bool = True
    never_translate: _Terms | None = None
    track_name: _Id | None = None
    replace_existing_tracks: Literal["fail", "replace_all", "replace_generated"] = "fail"


class _Body(msgspec.Struct, frozen=True):
    parameters: _Parameters
    passthrough: str | None = None


_decode = msgspec.json.Decoder(_Body).decode


class CreateRefusedError(Exception):
    """A create that the API refuses, with the response."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.response = robots_error(status, error_type, message)


def robots_error(status: int, error_type: str, message: str) -> Response:
    """Return an error in the format of Robots: in practice with an array of messages."""
    return json_response(status, {"error": {"type": error_type, "messages": [message]}})


CREATE_REFUSALS = {
    "units": (
        403,
        "robots_units_limit_exceeded",
        "This environment has used the Mux AI units of its free plan for this month. "
        f"Choose a plan at {DASHBOARD}/settings/billing",
    ),
    "workflow": (
        403,
        "robots_workflow_not_available",
        f"translate-captions is not part of your plan. See {DASHBOARD}/settings/billing",
    ),
    "terms": (
        403,
        "forbidden",
        f"The Robots terms have not been accepted. Accept them at {DASHBOARD}/settings/robots",
    ),
    "scope": (401, "unauthorized", "The access token lacks the robots scope."),
}
"""Status, type and message of a refused create, by the option `create_refusal`."""


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
        track_name=parameters.track_name or f"{language} (Auto-translated)",
        replace=parameters.replace_existing_tracks,
        parameters={
            **msgspec.to_builtins(parameters),
            "upload_to_mux": parameters.upload_to_mux,
        },
        passthrough=create.passthrough,
    )
