"""URLs are parsed without being re-encoded."""

from __future__ import annotations

import pytest

from batchcap.transport.url import InvalidUrl, parse_url

URLS = {
    "https://files.example/a%2Fb%2fc?x=%41+y": (
        "https",
        "files.example",
        443,
        "/a%2Fb%2fc?x=%41+y",
    ),
    "HTTP://Files.Example:8080?x": ("http", "files.example", 8080, "/?x"),
    "https://b\u00fccher.example/x": ("https", "xn--bcher-kva.example", 443, "/x"),
    "http://[::1]:81/x#part": ("http", "::1", 81, "/x"),
    "https://user:word@files.example/x": ("https", "files.example", 443, "/x"),
    "https://files.example/a b/ü\r\nX: y": (
        "https",
        "files.example",
        443,
        "/a%20b/%C3%BC%0D%0AX:%20y",
    ),
}


@pytest.mark.parametrize(("url", "parts"), URLS.items(), ids=URLS)
def test_parse_url_returns_the_parts(url: str, parts: tuple[str, str, int, str]) -> None:
    parsed = parse_url(url)
    assert (parsed.scheme, parsed.raw_host, parsed.port, parsed.raw_path_qs) == parts


NOT_URLS = ["", "x", "ftp://a/b", "//a/b", "https://", "https:///x", "https://[half/x"]
NOT_URLS += ["http://][..@/", "http://h/\ud800"]
NOT_URLS += ["https://a:b/", "https://a:99999/", "https://a\r\nb/", "https://a b/", "\\\\a\\b"]


@pytest.mark.parametrize("url", NOT_URLS)
def test_parse_url_of_invalid_text_raises(url: str) -> None:
    with pytest.raises(InvalidUrl):
        parse_url(url)
