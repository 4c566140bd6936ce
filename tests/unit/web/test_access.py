"""Who may read the live page, and what of the output folder."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from batchcap.domain.errors import UsageError
from batchcap.web.address import WebAddress, bind, parse_web
from tests.harness.live_page import TOKEN, LivePageHarness, make_row, running_page

pytestmark = pytest.mark.anyio

PATHS = ["", "events", "files/fake/source1.es.vtt"]


async def with_file(harness: LivePageHarness, out: Path, data: bytes = b"WEBVTT\n") -> str:
    """Make row 1 end with a file; return its path."""
    path = make_row(1).path
    (out / path).parent.mkdir(exist_ok=True)
    (out / path).write_bytes(data)
    await harness.finish(1)
    return f"files/{path}"


async def raw_answer(harness: LivePageHarness, *lines: str) -> str:
    """Send a request as it is; return the status line and the rest of what comes."""
    port = int(harness.base.rpartition(":")[2].strip("/"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
    answer = await reader.read(100_000)
    writer.close()
    await writer.wait_closed()
    return answer.decode("utf-8", "replace")


class TestToken:
    @pytest.mark.parametrize("path", [*PATHS, "nothing"])
    @pytest.mark.parametrize(
        "query", ["", "?token=", "?token=wrong", f"?token={TOKEN}x", "?token=é"]
    )
    async def test_request_without_the_token_is_refused(
        self, tmp_path: Path, path: str, query: str
    ) -> None:
        async with running_page(tmp_path, token=TOKEN) as harness:
            await with_file(harness, tmp_path)
            answer = await harness.get(path + query)
        assert answer.status == 401
        assert "source1" not in answer.text
        assert TOKEN not in answer.text + str(answer.headers)

    async def test_page_with_the_token_sets_a_cookie_and_leaves_the_token(
        self, tmp_path: Path
    ) -> None:
        async with running_page(tmp_path, token=TOKEN) as harness:
            assert harness.url.endswith(f"/?token={TOKEN}")
            entrance = await harness.get(f"?token={TOKEN}")
            assert entrance.status == 200
            assert 'content="0; url=./"' in entrance.text
            assert TOKEN not in entrance.text
            (cookie,) = entrance.cookies.values()
            assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
            page = await harness.get()  # the session has kept the cookie
            assert (page.status, "source1" in page.text, TOKEN in page.text) == (200, True, False)
            async with harness.events() as stream:
                await stream.until(lambda seen: bool(seen.totals))
            assert "refresh" in (await harness.get(f"?token={TOKEN}")).text  # the same again

    async def test_events_with_the_token_need_no_cookie(self, tmp_path: Path) -> None:
        async with (
            running_page(tmp_path, token=TOKEN) as harness,
            harness.events(params={"token": TOKEN}) as stream,
        ):
            await stream.until(lambda seen: bool(seen.totals))

    async def test_wrong_cookie_is_refused(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, token=TOKEN) as harness:
            port = harness.base.rpartition(":")[2].strip("/")
            cookie = {"Cookie": f"batchcap_{port}=wrong"}
            assert (await harness.get(headers=cookie)).status == 401

    def test_other_host_gets_a_random_token(self) -> None:
        first, second = (parse_web("--web", "0.0.0.0:0", "") for _ in range(2))
        assert len(first.token) >= 32
        assert first.token != second.token
        assert parse_web("--web", "127.0.0.1:0", "").token == ""
        assert parse_web("--web", "[::1]:0", TOKEN) == WebAddress("::1", 0, TOKEN)

    @pytest.mark.parametrize("token", ["short", "a" * 300, "spaces are not allowed", "é" * 20])
    def test_unfit_token_is_refused(self, token: str) -> None:
        with pytest.raises(UsageError, match="--web-token"):
            parse_web("--web", "0.0.0.0:0", token)


class TestHost:
    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:80", "192.168.1.5", "localhost.evil.example", "", "["],
    )
    async def test_name_of_another_site_is_refused(self, tmp_path: Path, host: str) -> None:
        async with running_page(tmp_path) as harness:
            answer = await raw_answer(harness, "GET / HTTP/1.1", f"Host: {host}")
        assert answer.startswith("HTTP/1.1 421")
        assert "source1" not in answer

    @pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:9", "[::1]:8468"])
    async def test_names_of_this_machine_are_served(self, tmp_path: Path, host: str) -> None:
        async with running_page(tmp_path) as harness:
            answer = await raw_answer(harness, "HEAD / HTTP/1.1", f"Host: {host}")
        assert answer.startswith("HTTP/1.1 200")

    async def test_any_name_is_served_with_the_token(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, token=TOKEN) as harness:
            path = await with_file(harness, tmp_path)
            answer = await harness.get(f"{path}?token={TOKEN}", headers={"Host": "proxy.example"})
        assert answer.status == 200

    async def test_page_of_another_site_cannot_read(self, tmp_path: Path) -> None:
        foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        async with running_page(tmp_path) as harness:
            assert (await harness.get("events", headers=foreign)).status == 403
            assert (await harness.get(headers=link)).status == 200


class TestMethods:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
    async def test_method_that_could_write_is_refused(
        self, tmp_path: Path, path: str, method: str
    ) -> None:
        async with running_page(tmp_path) as harness:
            answer = await harness.get(path, method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")

    @pytest.mark.parametrize("path", PATHS)
    async def test_head_has_the_headers_alone(self, tmp_path: Path, path: str) -> None:
        async with running_page(tmp_path) as harness:
            await with_file(harness, tmp_path)
            answer = await harness.get(path, "HEAD")
        assert (answer.status, answer.body) == (200, b"")


class TestHeaders:
    @pytest.mark.parametrize("path", [*PATHS, "nothing"])
    async def test_every_response_has_the_headers(self, tmp_path: Path, path: str) -> None:
        async with running_page(tmp_path) as harness:
            await with_file(harness, tmp_path)
            headers = (await harness.get(path, "HEAD")).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "Access-Control-Allow-Origin" not in headers

    async def test_policy_of_the_page_is_the_one_in_it(self, tmp_path: Path) -> None:
        async with running_page(tmp_path) as harness:
            page = await harness.get()
        policy = page.headers["Content-Security-Policy"].removesuffix("; frame-ancestors 'none'")
        assert policy in page.text
        assert "unsafe" not in policy


class TestFiles:
    async def test_caption_of_a_done_row_is_plain_text(self, tmp_path: Path) -> None:
        hostile = b"WEBVTT\n\n<script>alert(1)</script>\n"
        async with running_page(tmp_path) as harness:
            answer = await harness.get(await with_file(harness, tmp_path, hostile))
        assert (answer.status, answer.body) == (200, hostile)
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert "sandbox" in answer.headers["Content-Security-Policy"]

    async def test_caption_of_a_pending_row_is_not_served(self, tmp_path: Path) -> None:
        async with running_page(tmp_path) as harness:
            path = make_row(2).path
            (tmp_path / path).parent.mkdir()
            (tmp_path / path).write_bytes(b"of an earlier run")
            assert (await harness.get(f"files/{path}")).status == 404

    @pytest.mark.parametrize(
        "path",
        [
            ".batchcap/ledger.sqlite",
            "results.jsonl",
            "../secret.txt",
            "..%2fsecret.txt",
            "%2e%2e/secret.txt",
            "fake/../../secret.txt",
            "fake/%2e%2e%2f%2e%2e%2fsecret.txt",
            "fake/./source1.es.vtt",
            "/fake/source1.es.vtt",
            "%2fetc/passwd",
            "fake%5csource1.es.vtt",
            "fake/source1.es.vtt%00",
            "fake/source1.es.vtt/",
            "FAKE/SOURCE1.ES.VTT",
            "%ff",
            "%ed%b3%bf",
            "",
        ],
    )
    async def test_nothing_else_in_the_folder_is_served(self, tmp_path: Path, path: str) -> None:
        out = tmp_path / "out"
        (tmp_path / "secret.txt").write_text("secret")
        async with running_page(out) as harness:
            (out / "results.jsonl").write_text("secret")
            await with_file(harness, out, b"secret")
            answer = await raw_answer(harness, f"GET /files/{path} HTTP/1.1", "Host: localhost")
        assert answer.startswith(("HTTP/1.1 404", "HTTP/1.1 400"))
        assert "secret" not in answer

    @pytest.mark.parametrize("linked", ["file", "folder"])
    async def test_link_out_of_the_folder_is_not_followed(
        self, tmp_path: Path, linked: str
    ) -> None:
        out, other = tmp_path / "out", tmp_path / "other"
        other.mkdir()
        (other / "source1.es.vtt").write_text("secret")
        async with running_page(out) as harness:
            path = await with_file(harness, out)
            if linked == "file":
                (out / "fake" / "source1.es.vtt").unlink()
                (out / "fake" / "source1.es.vtt").symlink_to(other / "source1.es.vtt")
            else:
                (out / "fake" / "source1.es.vtt").unlink()
                (out / "fake").rmdir()
                (out / "fake").symlink_to(other)
            answer = await harness.get(path)
        assert answer.status in {404, 503}
        assert "secret" not in answer.text

    async def test_fifo_in_the_place_of_a_caption_is_not_waited_for(self, tmp_path: Path) -> None:
        async with running_page(tmp_path) as harness:
            path = await with_file(harness, tmp_path)
            (tmp_path / make_row(1).path).unlink()
            os.mkfifo(tmp_path / make_row(1).path)
            assert (await harness.get(path)).status == 404

    @pytest.mark.parametrize(
        "name",
        ["<img src=x onerror=alert(1)>.vtt", "a b?c#d%41.vtt", "日本語/\u202egnp.vtt", "é;&.vtt"],
    )
    async def test_caption_with_a_hostile_name_is_served(self, tmp_path: Path, name: str) -> None:
        async with running_page(tmp_path, [make_row(1, path=name)]) as harness:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"WEBVTT\n")
            await harness.finish(1)
            answer = await raw_answer(
                harness, f"GET /files/{quote(name)} HTTP/1.1", "Host: localhost"
            )
        assert answer.startswith("HTTP/1.1 200")
        assert "alert" not in answer


class TestAddress:
    def test_port_in_use_is_a_usage_error(self) -> None:
        with bind("--web", "127.0.0.1", 0) as bound:
            port = bound.getsockname()[1]
            with pytest.raises(UsageError, match=f"--web: cannot listen on 127.0.0.1:{port}"):
                bind("--web", "127.0.0.1", port)

    @pytest.mark.parametrize("text", ["8468", "localhost", "127.0.0.1:x", "127.0.0.1:99999", ":80"])
    def test_invalid_address_is_a_usage_error(self, text: str) -> None:
        with pytest.raises(UsageError, match="--web: invalid address"):
            parse_web("--web", text, "")
