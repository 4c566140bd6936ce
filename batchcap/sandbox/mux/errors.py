"""Errors in Mux's formats, and the reasons for which it refuses a create.

Mux docs: an error of Robots is `{"error": {"type", "message"}}`. In practice it has an array
`messages`, like the errors of the Video API.
"""

from __future__ import annotations

from typing import Literal

import orjson

from batchcap.sandbox.http_types import Response, json_response

ErrorShape = Literal["messages", "message", "errors"]

DASHBOARD = "https://dashboard.mux.com/organizations/sandbox/environments/sandbox"


class CreateRefusedError(Exception):
    """A create that the API refuses, with the response."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.response = mux_error(status, error_type, message)


def mux_error(status: int, error_type: str, message: str) -> Response:
    """Return an error as it is in practice: with an array of messages."""
    return json_response(status, {"error": {"type": error_type, "messages": [message]}})


def with_shape(response: Response, shape: ErrorShape) -> Response:
    """Return an error response in one of the shapes that documents and bug reports show.

    `message` is the one that the documents of Robots have, `errors` that of a 429: a list of
    texts without a type.
    """
    is_json_error = response.status >= 400 and response.content_type == "application/json"
    if shape == "messages" or not is_json_error:
        return response
    error = orjson.loads(response.body).get("error", {})
    if "messages" not in error:
        return response
    text = error["messages"][0]
    document = {"error": {"type": error["type"], "message": text}}
    return response._replace(
        body=orjson.dumps({"errors": [text]} if shape == "errors" else document)
    )


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
