"""The file hosts: valid, expired and modified links, keywords, and leaked credentials."""

from __future__ import annotations

import gzip
from urllib.parse import unquote

import pytest

from tests.sandbox.client import SandboxClient, sandbox_client

pytestmark = pytest.mark.anyio

WEEK = 7 * 86400


async def storage_link(client: SandboxClient, asset_id: str = "one") -> str:
    return str((await client.run_job(asset_id))["outputs"]["temporary_vtt_url"])


async def cdn_link(client: SandboxClient, video_id: str = "one") -> str:
    video = await client.heygen(f"/v3/video-translations/{video_id}")
    return str(video.data["vtt_caption_url"])


async def test_storage_link_expires_a_week_after_the_job_and_is_not_renewed() -> None:
    async with sandbox_client() as client:
        link = await storage_link(client)
        client.sandbox.advance(WEEK - 120)
        assert (await client.fetch(link)).status == 200
        client.sandbox.advance(120)
        expired = await client.fetch(link)
        job = client.sandbox.request_log.creates[0]
        assert (await client.get_job(job.id)).data["outputs"]["temporary_vtt_url"] == link
    assert expired.status == 400
    assert b"<Code>ExpiredToken</Code>" in expired.body


async def test_cdn_link_expires_and_a_new_one_is_valid() -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        link = await cdn_link(client)
        client.sandbox.advance(WEEK + 1)
        expired = await client.fetch(link)
        assert (await client.fetch(await cdn_link(client))).status == 200
    assert expired.status == 403
    assert b"<Code>AccessDenied</Code>" in expired.body


async def test_modified_link_is_refused() -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        storage, cdn = await storage_link(client), await cdn_link(client)
        modified = {
            unquote(storage): b"SignatureDoesNotMatch",
            storage.replace("/es.vtt", "/fr.vtt"): b"SignatureDoesNotMatch",
            storage[:-1]: b"SignatureDoesNotMatch",
            storage.partition("?")[0]: b"SignatureDoesNotMatch",
            cdn.replace("/one/", "/two/"): b"AccessDenied",
            cdn.replace("Signature=", "Signature=A"): b"AccessDenied",
            cdn.partition("?")[0]: b"AccessDenied",
        }
        for link, code in modified.items():
            response = await client.fetch(link)
            assert response.status == 403, link
            assert code in response.body


async def test_silent_file_has_no_cue_and_odd_cues_are_what_players_show() -> None:
    async with sandbox_client() as client:
        silent = (await client.fetch(await storage_link(client, "id-silent"))).body.decode()
        odd = (await client.fetch(await cdn_link(client, "id-oddcues"))).body.decode()
    assert silent.startswith("WEBVTT\n")
    assert "-->" not in silent
    assert "not a timing --> at all" in odd
    assert "00:00:05.000 --> 00:00:04.000" in odd


@pytest.mark.parametrize("encoding", ["UTF-8", "aws-chunked", ""])
async def test_content_encoding_option_is_sent_with_a_plain_body(encoding: str) -> None:
    async with sandbox_client(content_encoding=encoding) as client:
        response = await client.fetch(await storage_link(client), **{"Accept-Encoding": "identity"})
    assert response.headers["Content-Encoding"] == encoding
    assert response.body.startswith(b"WEBVTT")


@pytest.mark.parametrize("provider", ["mux", "heygen"])
async def test_file_keyword_replaces_the_caption(provider: str) -> None:
    link = storage_link if provider == "mux" else cdn_link
    async with sandbox_client(heygen_running=0.0) as client:
        responses = {
            keyword: await client.fetch(await link(client, f"id-{keyword}"))
            for keyword in ("badvtt", "html", "nofile", "deadlink")
        }
    assert not responses["badvtt"].body.startswith(b"WEBVTT")
    assert responses["html"].headers["Content-Type"].startswith("text/html")
    assert (responses["nofile"].status, responses["nofile"].body) == (200, b"")
    assert responses["deadlink"].status == (400 if provider == "mux" else 403)


async def test_gzip_option_compresses_for_clients_that_accept_it() -> None:
    async with sandbox_client(gzip=True, heygen_running=0.0) as client:
        link = await cdn_link(client)
        plain = await client.fetch(link, **{"Accept-Encoding": "identity"})
        compressed = await client.fetch(link, **{"Accept-Encoding": "gzip"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.body == plain.body
    assert len(gzip.compress(plain.body)) < int(compressed.headers["Content-Length"]) * 2


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key", "Cookie"])
async def test_credential_sent_to_a_file_host_is_logged_as_leak(header: str) -> None:
    async with sandbox_client(heygen_running=0.0) as client:
        links = [await storage_link(client), await cdn_link(client)]
        links.append(client.environment["MUX_STREAM_BASE_URL"] + "/public_one/text/x.vtt")
        assert client.sandbox.request_log.leaks == []
        for link in links:
            await client.fetch(link, **{header: "secret"})
        leaks = client.sandbox.request_log.leaks
    assert [leak.route for leak in leaks] == ["storage.file", "files2.file", "stream.track"]
    assert {leak.header for leak in leaks} == {header}


async def test_credential_of_the_other_provider_is_logged_as_leak() -> None:
    async with sandbox_client() as client:
        key = client.environment["HEYGEN_API_KEY"]
        await client.fetch(client.environment["MUX_BASE_URL"] + "/x", **{"X-Api-Key": key})
        (leak,) = client.sandbox.request_log.leaks
    assert (leak.route, leak.header) == ("mux.other", "X-Api-Key")
