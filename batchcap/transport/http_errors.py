"""What can become of a request that got no whole response, and why, in our own words.

aiohttp's messages repeat URLs, signed ones and those of proxies with their passwords.
"""

from __future__ import annotations

import os

import aiohttp

UNTRUSTED = "the certificate is not trusted"
UNRESOLVED = "cannot resolve the name"
NO_PROXY_CONNECTION = "cannot connect to the proxy"
PROXY_REFUSES = "the proxy refuses the user or password"
"""How messages of `NotSent` begin, by which `batchcap doctor` knows what to do."""


class HttpError(Exception):
    """A request without a whole response. The message holds neither URL nor header."""


class NotSent(HttpError):
    """No byte of the request left: there was no connection for it."""


class AddressBlocked(NotSent):
    """The address filter allows none of a host's addresses. Trying again changes nothing."""


class ResponseLost(HttpError):
    """The request may have arrived. Its response did not, or not whole, or too late."""


class BodyLost(ResponseLost):
    """The headers of a response arrived, and its body did not, or not whole, or too late."""


class BodyUnreadable(BodyLost):
    """The body is compressed in an unknown way, or its compression is broken.

    That is the fault of this one file, and not of its server or of the network.
    """


def why_not_sent(error: Exception) -> str:
    """Why there is no connection."""
    match error:
        case aiohttp.ClientHttpProxyError(status=407):
            reason = f"{PROXY_REFUSES} (407)"
        case aiohttp.ClientHttpProxyError(status=status):
            reason = f"the proxy answered {status}"
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            message = getattr(cause, "verify_message", "") or type(cause).__name__
            reason = f"{UNTRUSTED}: {message}"
        case aiohttp.ClientConnectorSSLError(os_error=cause):
            message = getattr(cause, "reason", "") or type(cause).__name__
            reason = f"no TLS connection: {message.replace('_', ' ').lower()}"
        case aiohttp.ClientProxyConnectionError(os_error=cause):
            reason = f"{NO_PROXY_CONNECTION}: {_os_reason(cause)}"
        case aiohttp.ClientConnectorDNSError(os_error=cause):
            reason = f"{UNRESOLVED}: {_os_reason(cause)}"
        case aiohttp.ClientConnectorError(os_error=cause):
            reason = _os_reason(cause)
        case UnicodeError():
            reason = f"{UNRESOLVED}: it is not a host name"
        case aiohttp.ClientError():
            reason = "the connection was closed before it was used"
        case _:
            reason = type(error).__name__
    return reason


def _os_reason(error: OSError) -> str:
    """The system's word for an error; `strerror` may be asyncio's, which repeats addresses."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__


def why_lost(error: Exception) -> str:
    """Why there is no whole response."""
    match error:
        case TimeoutError():
            return "it took too long"
        case aiohttp.ClientPayloadError():
            return "the body was cut"
        case aiohttp.ClientResponseError():
            return "the response is not HTTP"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed"
        case _:
            return "the connection was lost"
