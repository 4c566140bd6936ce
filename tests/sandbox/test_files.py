"""The file hosts: what a link is worth, and what they say when it is worth nothing."""

from __future__ import annotations

import gzip
from urllib.parse import unquote

import pytest

from tests.sandbox.client import Client, asking

pytestmark = pytest.mark.anyio

WEEK = 7 * 86400


async def storage_link(client: Client, asset_id: str = "one") -> str:
    return str((await client.ended(asset_id))["outputs"]["temporary_vtt_url"])


async def files2_link(client: Client, video_id: str = "one") -> str:
    video = await client.heygen(f"/v3/video-translations/{video_id}")
    return str(video.data["vtt_caption_url"])


async def test_a_storage_link_expires_a_week_after_the_job_and_is_not_renewed() -> None:
    async with asking() as client:
        link = await storage_link(client)
        client.sandbox.advance(WEEK - 120)
        assert (await client.fetch(link)).status == 200
        client.sandbox.advance(120)
        expired = await client.fetch(link)
        job = client.sandbox.request_log.creates[0]
        assert (await client.job(job.id)).data["outputs"]["temporary_vtt_url"] == link
    assert expired.status == 400
    assert b"<Code>ExpiredToken</Code>" in expired.body


async def test_a_heygen_link_expires_and_the_next_one_is_good() -> None:
    async with asking(heygen_running=0.0) as client:
        link = await files2_link(client)
        client.sandbox.advance(WEEK + 1)
        expired = await client.fetch(link)
        assert (await client.fetch(await files2_link(client))).status == 200
    assert expired.status == 403
    assert b"<Code>AccessDenied</Code>" in expired.body


async def test_a_link_that_was_touched_is_refused() -> None:
    async with asking(heygen_running=0.0) as client:
        storage, files2 = await storage_link(client), await files2_link(client)
        touched = {
            unquote(storage): b"SignatureDoesNotMatch",
            storage.replace("/es.vtt", "/fr.vtt"): b"SignatureDoesNotMatch",
            storage[:-1]: b"SignatureDoesNotMatch",
            storage.partition("?")[0]: b"SignatureDoesNotMatch",
            files2.replace("/one/", "/two/"): b"AccessDenied",
            files2.replace("Signature=", "Signature=A"): b"AccessDenied",
            files2.partition("?")[0]: b"AccessDenied",
        }
        for link, code in touched.items():
            reply = await client.fetch(link)
            assert reply.status == 403, link
            assert code in reply.body


@pytest.mark.parametrize("provider", ["mux", "heygen"])
async def test_words_put_something_else_in_the_place_of_a_caption(provider: str) -> None:
    link = storage_link if provider == "mux" else files2_link
    async with asking(heygen_running=0.0) as client:
        found = {
            word: await client.fetch(await link(client, f"id-{word}"))
            for word in ("badvtt", "html", "nofile", "deadlink")
        }
    assert not found["badvtt"].body.startswith(b"WEBVTT")
    assert found["html"].headers["Content-Type"].startswith("text/html")
    assert (found["nofile"].status, found["nofile"].body) == (200, b"")
    assert found["deadlink"].status == (400 if provider == "mux" else 403)


async def test_files_are_compressed_for_those_who_ask() -> None:
    async with asking(gzip=True, heygen_running=0.0) as client:
        link = await files2_link(client)
        plain = await client.fetch(link, **{"Accept-Encoding": "identity"})
        packed = await client.fetch(link, **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.body == plain.body
    assert len(gzip.compress(plain.body)) < int(packed.headers["Content-Length"]) * 2


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key", "Cookie"])
async def test_a_credential_that_reaches_a_file_host_is_noted(header: str) -> None:
    async with asking(heygen_running=0.0) as client:
        links = [await storage_link(client), await files2_link(client)]
        links.append(client.around["MUX_STREAM_BASE_URL"] + "/public_one/text/x.vtt")
        assert client.sandbox.request_log.leaks == []
        for link in links:
            await client.fetch(link, **{header: "secret"})
        leaks = client.sandbox.request_log.leaks
    assert [leak.route for leak in leaks] == ["storage.file", "files2.file", "stream.track"]
    assert {leak.header for leak in leaks} == {header}


async def test_a_credential_of_the_other_provider_is_noted() -> None:
    async with asking() as client:
        key = client.around["HEYGEN_API_KEY"]
        await client.fetch(client.around["MUX_BASE_URL"] + "/x", **{"X-Api-Key": key})
        (leak,) = client.sandbox.request_log.leaks
    assert (leak.route, leak.header) == ("mux.other", "X-Api-Key")
