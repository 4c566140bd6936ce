"""Responses and their errors, in every shape that providers send."""

from __future__ import annotations

import http
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from batchcap.transport.response import ApiResponse, as_count, as_object, as_text, sanitize


def answer(body: object, status: int = 400, **headers: str) -> ApiResponse:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ApiResponse(status, CIMultiDict(named), raw)


def error_parts(body: object, status: int = 400) -> tuple[str, str]:
    problem = answer(body, status).error()
    return problem.kind, problem.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"type": "invalid", "messages": ["a", "b"]}}, ("invalid", "a; b")),
        ({"error": {"type": "invalid", "message": "one"}}, ("invalid", "one")),
        ({"error": {"code": "no_such", "message": "gone"}}, ("no_such", "gone")),
        ({"error": {"code": 40012, "message": "gone"}}, ("40012", "gone")),
        ({"error": "just words"}, ("", "just words")),
        ({"error": None, "code": 100, "message": "at the top"}, ("100", "at the top")),
        ({"message": "at the top"}, ("", "at the top")),
        ({"code": "x", "messages": ["top", "down"]}, ("x", "top; down")),
        ({"error": {"messages": ["both"], "message": "one"}}, ("", "both")),
        ({"error": {"messages": [], "message": "one"}}, ("", "one")),
        ({"error": None}, ("", "Bad Request")),
        ({"error": ""}, ("", "Bad Request")),
        ({"error": {}}, ("", "Bad Request")),
        ({"error": ["a list"]}, ("", "Bad Request")),
        ({"error": True, "message": "m"}, ("", "m")),
        ([], ("", "Bad Request")),
        ("a string", ("", "Bad Request")),
        (None, ("", "Bad Request")),
        (17, ("", "Bad Request")),
        (b"", ("", "Bad Request")),
        (b"{broken", ("", "Bad Request")),
        (b"\xff\xfe\x00", ("", "Bad Request")),
    ],
)
def test_response_problem_in_every_shape_is_found(body: object, expected: tuple[str, str]) -> None:
    assert error_parts(body) == expected


@pytest.mark.parametrize("messages", [[None], [{"why": "no"}, {}], ["", ""]])
def test_response_messages_without_text_are_passed_over(messages: list[Any]) -> None:
    assert (
        error_parts({"error": {"messages": messages, "message": "the real one"}})[1]
        == "the real one"
    )
    assert error_parts({"error": {"messages": messages}})[1] == "Bad Request"


def test_response_html_page_is_described_by_its_title() -> None:
    page = b"<html><head><TITLE lang='en'>\n 502 Bad\tGateway </TITLE></head>"
    assert error_parts(page, 502) == ("", "502 Bad Gateway")


def test_response_html_page_without_title_is_described_by_its_status() -> None:
    assert error_parts(b"<html><body>oops</body></html>", 503) == ("", "Service Unavailable")


def test_response_status_without_a_phrase_is_described_by_its_number() -> None:
    assert error_parts(b"", 599) == ("", "")
    assert str(answer(b"", 599).error()) == "599"


def test_response_json_nested_100_000_levels_deep_is_none() -> None:
    deep = answer(b"[" * 100_000 + b"]" * 100_000)
    assert deep.json() is None
    assert deep.data() == {}
    assert deep.items() == []
    assert deep.error().message == "Bad Request"
    nested = b'{"error":' * 100_000 + b"1" + b"}" * 100_000
    assert answer(nested).error().message == "Bad Request"


def test_response_message_is_a_short_line_without_control_characters() -> None:
    message = error_parts({"error": "one\r\ntwo\x1b[31m\x00three\u202e " + "x" * 10_000})[1]
    assert message.isprintable()
    assert "\n" not in message
    assert message.startswith("one two [31m three")
    assert len(message) == 300


@pytest.mark.parametrize(
    "link",
    ["https://cdn.example/x.vtt?Signature=abc", "http://h/p", "HTTPS://cdn.example/?Sig=abc"],
)
def test_response_message_has_no_link(link: str) -> None:
    message = error_parts({"error": f"cannot read {link} now"})[1]
    assert message == "cannot read <link> now"


def test_response_html_title_has_no_link() -> None:
    assert error_parts(b"<title>see https://h/x?sig=1</title>")[1] == "see <link>"


@pytest.mark.parametrize("name", ["type", "code"])
def test_response_kind_is_safe_to_print(name: str) -> None:
    kind = "bad\n\x1b[2J https://cdn.example/x?Signature=abc " + "y" * 100_000
    shown = str(answer({"error": {name: kind, "message": "m"}}).error())
    assert shown.isprintable()
    assert "Signature" not in shown
    assert len(shown) < 1000


def test_response_request_id_is_read_in_any_header_case() -> None:
    problem = answer({"error": "no"}, 422, x_request_id="req-1").error()
    assert str(problem) == "422: no (request req-1)"
    assert answer(b"", x_mux_request_id="mux-2").error().request_id == "mux-2"


def test_response_request_id_of_any_bytes_is_safe_to_print() -> None:
    """aiohttp gives header bytes that are no UTF-8 as lone surrogates."""
    shown = str(answer(b"", X_Request_Id="a\udcffb").error())
    assert shown.encode()


def test_response_problem_texts_keep_their_order() -> None:
    problem = answer({"error": {"type": "rejected", "message": "no"}}, 422, X_Request_Id="r")
    assert str(problem.error()) == "422 rejected: no (request r)"


@pytest.mark.parametrize(("status", "ok"), [(199, 0), (200, 1), (204, 1), (299, 1), (300, 0)])
def test_response_is_ok_only_with_a_2xx_status(status: int, ok: int) -> None:
    assert answer(b"", status).ok is bool(ok)


def test_response_data_and_items_come_from_the_envelope_or_are_empty() -> None:
    assert answer({"data": {"id": 1}}).data() == {"id": 1}
    assert answer({"data": [{"id": 1}, 5, None]}).items() == [{"id": 1}, {}, {}]
    others: list[object] = [{"data": None}, {}, [], b"x", {"data": "words"}]
    for body in others:
        assert answer(body).data() == {}
        assert answer(body).items() == []
    assert answer({"data": [1]}).data() == {}
    assert answer({"data": {"id": 1}}).items() == []


def test_value_readers_with_a_wrong_type_return_an_empty_value() -> None:
    odd: list[object] = ["a", 7, True, None, 1.5, [], {}]
    assert [as_text(value) for value in odd] == ["a", "7", *[""] * 5]
    numbers: list[object] = [3, 2.9, -1, "3", None, 1e15, float("nan")]
    assert [as_count(value) for value in numbers] == [3, 2, *[0] * 5]
    assert as_object({"a": 1}) == {"a": 1}
    assert as_object([("a", 1)]) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "messages", "type", "code", "data", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def all_read(response: ApiResponse) -> None:
    problem = response.error()
    assert len(problem.message) <= 300
    assert problem.message.isprintable()
    assert str(problem).startswith(str(response.status))
    assert isinstance(response.data(), dict)
    assert all(isinstance(item, dict) for item in response.items())
    assert isinstance(response.ok, bool)
    response.json()


@given(body=st.binary(max_size=300), status=st.integers(0, 999))
@example(body=b"<title>\xff\xfe</title>", status=502)
@example(body=b'"\\ud800"', status=400)
def test_response_with_any_bytes_and_status_can_be_read(body: bytes, status: int) -> None:
    all_read(ApiResponse(status, {}, body))


@given(body=JSON, status=st.sampled_from([200, 400, 404, 422, 429, 500, 599, 999]))
def test_response_with_any_json_and_status_can_be_read(body: object, status: int) -> None:
    all_read(ApiResponse(status, {}, orjson.dumps(body)))


@given(st.text(max_size=500))
def test_sanitize_of_sanitized_text_changes_nothing(text: str) -> None:
    once = sanitize(text)
    assert sanitize(once) == once
    assert "http://" not in once


def test_response_status_has_the_phrase_that_python_knows() -> None:
    for status in http.HTTPStatus:
        assert error_parts(b"", status)[1] == status.phrase


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Accept them at https://dash.test/a/b.", "Accept them at https://dash.test/a/b"),
        ("see https://dash.test/a?token=1#x now", "see https://dash.test/a now"),
        ("https://dash.test.evil/a", "<link>"),
        ("https://me@dash.test/a", "<link>"),
        ("https://dash.test:1/a", "<link>"),
        ("http://dash.test/a", "<link>"),
        ("https://[dash.test/a", "<link>"),
    ],
)
def test_message_link_stays_only_if_it_leads_to_the_provider_itself(
    message: str, shown: str
) -> None:
    assert sanitize(message, {"dash.test"}) == shown


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"type": "t", "message": "no"}},
        {"error": {"type": "t", "messages": ["no"]}},
        {"error": {"messages": "no"}},
        {"message": "no"},
        {"messages": ["no"]},
        {"errors": ["no"]},
        {"errors": [{"message": "no"}]},
        {"error": None, "errors": ["no"]},
    ],
)
def test_error_message_in_every_shape_is_read(body: dict[str, object]) -> None:
    assert answer(body, 429).error().message == "no"
