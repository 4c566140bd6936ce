"""Who may read: methods, the Host header, the token, and the headers of every response."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from batchcap.domain.addresses import is_loopback
from batchcap.web.address import WebAddress

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "batchcap",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_NO_CONTENT = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""The policy of everything but the page itself."""
_ENTER = """<!doctype html><html lang="en"><meta charset="utf-8"><title>batchcap</title>\
<meta http-equiv="refresh" content="0; url=./"><p><a href="./">Open the page</a></p></html>
"""
_MAX_TOKEN = 400  # characters that are compared


class Access:
    """Decides about requests to one address; `port` is the one that was bound."""

    def __init__(self, address: WebAddress, port: int) -> None:
        self._token = address.token.encode()
        self._checks_host = address.is_loopback and not address.token
        self._cookie = f"batchcap_{port}"  # cookies do not distinguish ports

    def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """Return the response to a request that is refused, else None.

        A request for the page with the right token in its query gets a cookie, and is sent to
        the address without the token. Not by a redirect: after a link on another site, browsers
        would not send a strict cookie along with it.
        """
        if request.method not in {"GET", "HEAD"}:
            return text_response(405, "only GET and HEAD", {"Allow": "GET, HEAD"})
        if self._checks_host and not _is_local(request.headers.get(hdrs.HOST, "")):
            return text_response(421, "this page is served on localhost only")
        if _is_of_another_site(request):
            return text_response(403, "not for pages of other sites")
        return self._refusal_without_token(request) if self._token else None

    def _refusal_without_token(self, request: web.BaseRequest) -> web.Response | None:
        has_token = self._is_token(request.query.get("token", ""))
        if has_token and request.path == "/":
            return self._entrance()
        if has_token or self._is_token(request.cookies.get(self._cookie, "")):
            return None
        hint = "open the URL with ?token=, which batchcap printed on its terminal"
        return text_response(401, hint, {"WWW-Authenticate": "Token"})

    def _is_token(self, text: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(text[:_MAX_TOKEN].encode("utf-8", "replace"), self._token)

    def _entrance(self) -> web.Response:
        response = web.Response(text=_ENTER, content_type="text/html", headers=_HEADERS)
        response.headers["Content-Security-Policy"] = "default-src 'none'"
        response.set_cookie(
            self._cookie, self._token.decode(), httponly=True, samesite="Strict", path="/"
        )
        return response


def secure(response: web.StreamResponse, policy: str = _NO_CONTENT) -> None:
    """Add the headers that every response has; `policy` is its Content-Security-Policy."""
    response.headers.update(_HEADERS)
    response.headers["Content-Security-Policy"] = policy


def text_response(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return a short response in plain text."""
    response = web.Response(status=status, text=f"{text}\n", headers=headers)
    secure(response)
    return response


def _is_local(host: str) -> bool:
    """Return whether a Host header names this machine: a name of another site may lead here."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _is_of_another_site(request: web.BaseRequest) -> bool:
    """Return whether a page of another site asks, other than by a link to click on."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    is_link = request.headers.get("Sec-Fetch-Mode") == "navigate"
    return site in {"cross-site", "same-site"} and not is_link
