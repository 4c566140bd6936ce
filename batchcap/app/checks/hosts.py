"""Whether a host answers, and whether its clock agrees with this machine's."""

from __future__ import annotations

from collections.abc import Callable

from batchcap.app.checks.diagnosis import Diagnosis, Level
from batchcap.transport.http_errors import (
    NO_PROXY_CONNECTION,
    PROXY_REFUSES,
    UNRESOLVED,
    UNTRUSTED,
    HttpError,
)
from batchcap.transport.network import Network
from batchcap.transport.response import ApiResponse
from batchcap.transport.retry_after import http_date
from batchcap.transport.sender import HttpSender
from batchcap.transport.url import parse_url

MAX_CLOCK_ERROR = 30.0
"""Seconds by which clocks may differ; Date has whole seconds, and an answer takes some."""

REFUSED_CLOCK_ERROR = 300.0
"""Seconds from which on webhook signatures are refused as too old."""

_HINTS = {
    UNRESOLVED: "Check the network and {variable}. If only a proxy reaches the Internet, set "
    "HTTPS_PROXY or --proxy.",
    UNTRUSTED: "If a proxy decrypts TLS, name its certificate with --ca FILE or SSL_CERT_FILE. "
    "A wrong clock has the same effect.",
    NO_PROXY_CONNECTION: "Check the proxy in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or --proxy.",
    PROXY_REFUSES: "Put user and password into the proxy's URL, percent-encoded.",
}
_OTHER_HINT = (
    "Check the network, its firewall and {variable}. If only a proxy reaches the Internet, set "
    "HTTPS_PROXY or --proxy."
)


async def check_host(
    subject: str, variable: str, base_url: str, network: Network, now: Callable[[], float]
) -> list[Diagnosis]:
    """Send one GET without credentials; any answer shows that the host is reached.

    `variable` is what sets the base URL in the environment.
    """
    sender = HttpSender(base_url, {}, network)
    name = f"{sender.host}{_by_way(base_url, network)}"
    try:
        response = await sender.send("GET", "/", None)
    except HttpError as error:
        hint = _hint(str(error), variable)
        return [Diagnosis(subject, "problem", f"cannot reach {name}: {error}", hint)]
    finally:
        await sender.close()
    return [_answered(subject, name, response), *check_clock(subject, response, now())]


def check_clock(subject: str, response: ApiResponse, now: float) -> list[Diagnosis]:
    """Compare the time of a response, if it has one, with `now` (unix seconds)."""
    date = http_date(response.headers.get("Date"))
    if date is None or abs(now - date) <= MAX_CLOCK_ERROR:
        return []
    level: Level = "problem" if abs(now - date) > REFUSED_CLOCK_ERROR else "warning"
    where = "ahead of" if now > date else "behind"
    text = f"this machine's clock is {abs(now - date):,.0f} s {where} that of {subject}"
    hint = "Set the clock, for example by NTP: signed links and webhooks depend on it."
    return [Diagnosis("clock", level, text, hint)]


def _answered(subject: str, name: str, response: ApiResponse) -> Diagnosis:
    if response.status >= 500:
        hint = "Try again later; a run waits for it."
        return Diagnosis(subject, "warning", f"{name} answers {response.error()}", hint)
    return Diagnosis(subject, "ok", f"{name} answers")


def _by_way(base_url: str, network: Network) -> str:
    url = parse_url(base_url)
    proxy = network.proxy_for(url.scheme, url.raw_host or "", url.port or 0)
    return f" through the proxy {parse_url(proxy.url).host_port_subcomponent}" if proxy else ""


def _hint(reason: str, variable: str) -> str:
    hints = (hint for beginning, hint in _HINTS.items() if reason.startswith(beginning))
    return next(hints, _OTHER_HINT).format(variable=variable)
