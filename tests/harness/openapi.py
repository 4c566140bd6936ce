"""Checks real requests and responses against an OpenAPI document, for any provider.

To hold the requests of a run against a document, record them in the sandbox:

    specification = Specification.load("heygen-v3.openapi.json")
    async with Sandbox() as sandbox:
        requests: list[Request] = []
        sandbox.on_request = requests.append
        await run_rows(sandbox, ...)
    for request in requests_to("heygen", requests):
        specification.check_request(request)

`requests_to` chooses the requests by the sandbox's host, the first segment of the
path ("mux", "heygen"), which is not part of the document's paths.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import jsonschema_rs
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import BaseSchema

from batchcap.sandbox.http_types import Request

SPECS = Path(__file__).parents[1] / "specs"


class Operation(NamedTuple):
    """One operation of a document, and the path parameters of the request that matched it."""

    name: str
    description: Mapping[str, Any]
    path_parameters: Mapping[str, str]


def requests_to(host: str, requests: Iterable[Request]) -> list[Request]:
    """Return the requests to one host of the sandbox, e.g. "heygen"."""
    return [request for request in requests if request.raw_path.startswith(f"/{host}/")]


class Specification:
    """An OpenAPI document, and whether requests and responses conform to it.

    Strict: a path, a query parameter or a body that the document does not mention is an error.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document

    @classmethod
    def load(cls, name: str) -> Specification:
        """Read a document of tests/specs."""
        return cls(json.loads((SPECS / name).read_text()))

    def schemathesis(self, *, only_valid: bool = False) -> BaseSchema:
        """Return the document for schemathesis, which tests the sandbox with it.

        Unknown query parameters are not among its invalid requests: no document says that they
        are refused, and most APIs ignore them. A request that conforms to a schema may still get
        a documented 400 or 422, because schemas cannot say which tokens and ids exist.
        `only_valid` leaves out the requests that do not conform.
        """
        acceptance = {"expected-statuses": ["2xx", "400", "404", "409", "422"]}
        config = SchemathesisConfig.from_dict(
            {
                "generation": {
                    "allow-extra-parameters": False,
                    "mode": "positive" if only_valid else "all",
                },
                "checks": {"positive_data_acceptance": acceptance},
                # Only the links that a document names.
                "phases": {
                    "stateful": {"inference": {"algorithms": []}, "link-calibration": False}
                },
            }
        )
        return schemathesis.openapi.from_dict(dict(self.document), config=config)

    def follow_links(
        self,
        start: Callable[[], tuple[str, Mapping[str, str]]],
        before_request: Callable[[], object],
        examples: int,
        steps: int = 8,
    ) -> Counter[tuple[str, int]]:
        """Test a server by requests that follow the document's links from response to response.

        `start` starts a new server for each example, which responds to the same requests in the
        same way, and returns its URL and the headers for credentials. Returns how often each
        operation had each status.
        """
        statuses: Counter[tuple[str, int]] = Counter()
        state_machine: Any = self.schemathesis(only_valid=True).as_state_machine()

        class Workflow(state_machine):  # type: ignore[misc]  # its base is made at run time
            def setup(self) -> None:
                self.base_url, self.headers = start()

            def before_call(self, case: Case[Any]) -> None:
                before_request()
                case.headers.update(self.headers)

            def after_call(self, response: Any, case: Case[Any]) -> None:
                operation = case.operation.definition.raw["operationId"]
                statuses[operation, response.status_code] += 1

            def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
                return {"base_url": self.base_url}

        Workflow.run(
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                derandomize=True,  # or one run in many has not met every status
                suppress_health_check=list(HealthCheck),
            )
        )
        return statuses

    def check_request(self, request: Request) -> str:
        """Check a request that the sandbox received; returns the operation's id.

        Raises:
            AssertionError: the request does not conform to the document.
        """
        operation = self._find(request)
        self._check_credentials(request)
        self._check_parameters(operation, request)
        self._check_body(operation, request)
        return str(operation.description["operationId"])

    def check_response(
        self, operation_id: str, status: int, body: bytes, headers: Mapping[str, str]
    ) -> None:
        """Check a response to an operation: its status, its required headers and its body.

        Raises:
            AssertionError: the response does not conform to the document.
        """
        operation = next(
            description
            for methods in self.document["paths"].values()
            for description in methods.values()
            if description["operationId"] == operation_id
        )
        assert str(status) in operation["responses"], f"{operation_id} describes no {status}"
        response = operation["responses"][str(status)]
        for name, header in response.get("headers", {}).items():
            if header.get("required") or name in headers:
                self._validate(header["schema"], headers.get(name), f"header {name}")
        content = response.get("content", {}).get("application/json")
        if content:
            self._validate(content["schema"], json.loads(body), f"{operation_id} {status}")

    def _find(self, request: Request) -> Operation:
        path = "/" + request.raw_path.partition("?")[0].split("/", 2)[2]
        # Paths without parameters first: they are more specific.
        for template in sorted(self.document["paths"], key=lambda template: template.count("{")):
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template))
            match = re.fullmatch(pattern, path)
            description = self.document["paths"][template].get(request.method.lower())
            if match and description:
                unquoted = {name: unquote(value) for name, value in match.groupdict().items()}
                return Operation(f"{request.method} {template}", description, unquoted)
        raise AssertionError(f"no operation for {request.method} {path}")

    def _check_credentials(self, request: Request) -> None:
        schemes = self.document["components"]["securitySchemes"]
        for requirement in self.document.get("security", []):
            for name in requirement:
                header = schemes[name].get("name", "Authorization")
                assert request.headers.get(header), f"header {header} is missing"

    def _check_parameters(self, operation: Operation, request: Request) -> None:
        pairs = parse_qsl(request.query, keep_blank_values=True, strict_parsing=bool(request.query))
        query = dict(pairs)
        assert len(query) == len(pairs), f"{operation.name}: a parameter twice: {request.query}"
        parameters = operation.description.get("parameters", [])
        documented = {item["name"] for item in parameters if item["in"] == "query"}
        assert query.keys() <= documented, f"{operation.name}: undocumented: {request.query}"
        sent = {"query": query, "path": operation.path_parameters, "header": request.headers}
        for item in parameters:
            value = sent[item["in"]].get(item["name"])
            if value is None:
                assert not item.get("required"), f"{operation.name}: no {item['name']}"
            else:
                where = f"{operation.name}: parameter {item['name']}"
                self._validate(item["schema"], _typed(item["schema"], value), where)

    def _check_body(self, operation: Operation, request: Request) -> None:
        body = operation.description.get("requestBody")
        if body is None or (not request.body and not body.get("required")):
            assert not request.body, f"{operation.name}: takes no body"
            return
        content_type = request.headers.get("Content-Type", "").partition(";")[0]
        assert content_type in body["content"], f"{operation.name}: type {content_type!r}"
        schema = body["content"][content_type]["schema"]
        self._validate(schema, json.loads(request.body), f"{operation.name}: body")

    def _validate(self, schema: Mapping[str, Any], value: Any, what: str) -> None:
        # References in the document are relative to its root.
        with_components = {**schema, "components": self.document["components"]}
        errors = jsonschema_rs.validator_for(with_components).iter_errors(value)
        assert not (text := "; ".join(error.message for error in errors)), f"{what}: {text}"


def _typed(schema: Mapping[str, Any], value: str) -> Any:
    """Return a parameter as the type that its schema names, or as text if it is not of it."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    return (
        {"true": True, "false": False}.get(value, value)
        if schema.get("type") == "boolean"
        else value
    )
