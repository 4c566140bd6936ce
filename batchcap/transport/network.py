"""How the network is reached: through which proxy, and whose certificates are trusted.

Proxies come from HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in either case, or from
--proxy. aiohttp could read the variables itself, but then it also reads ~/.netrc, and goes
around an https:// proxy without a word.
"""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves it out
    proxy_bypass_environment,
)

from batchcap.domain.addresses import is_loopback
from batchcap.domain.errors import UsageError
from batchcap.transport.trace import HarFile

_VISIBLE = re.compile(r"[!-~]+")  # ASCII characters; urlsplit drops line breaks


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy. `url` is without credentials; `authorization` is a header's value, or ""."""

    url: str
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True)
class Network:
    """Proxies by scheme, the hosts that go around them, and a file of further certificates."""

    proxies: Mapping[str, Proxy] = field(default_factory=dict)
    no_proxy: str = ""
    ca_file: Path | None = None
    trace: HarFile | None = None
    """Where every request is recorded."""

    def proxy_for(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy for requests to an origin; None: connect directly, as always to loopback."""
        proxy = self.proxies.get(scheme)
        if proxy is None or is_loopback(host):
            return None
        bypass = proxy_bypass_environment(f"{host}:{port}", {"no": self.no_proxy})
        return None if bypass else proxy

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Trusts the system's certificates and those of `ca_file`.

        OpenSSL replaces the system's by SSL_CERT_FILE and SSL_CERT_DIR. Made when first needed:
        to read some hundred certificates takes 24 ms.
        """
        context = ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        if self.ca_file is not None:
            context.load_verify_locations(cafile=self.ca_file)
        return context


def network_settings(
    environment: Mapping[str, str], proxy: str = "", ca_file: Path | None = None
) -> Network:
    """Read the network settings from the environment and from --proxy and --ca.

    Raises:
        UsageError: A proxy or a file of certificates cannot be used.
    """
    if ca_file is not None:
        _check_certificates("--ca", ca_file)
    if bundle := environment.get("SSL_CERT_FILE"):
        _check_certificates("SSL_CERT_FILE", Path(bundle))
    proxies = {}
    for scheme in ("https", "http"):
        name, value = _proxy_setting(environment, proxy, scheme)
        if value:
            proxies[scheme] = _parse_proxy(name, value)
    _, no_proxy = _variable(environment, "no_proxy")
    return Network(proxies, no_proxy.replace("*.", "."), ca_file)


def _proxy_setting(environment: Mapping[str, str], option: str, scheme: str) -> tuple[str, str]:
    """Where the proxy for a scheme is set, and to what; "": nowhere."""
    if option:
        return "--proxy", option
    name, value = _variable(environment, f"{scheme}_proxy")
    return (name, value) if value else _variable(environment, "all_proxy")


def _variable(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """A variable in either case, with its name; as everywhere, lower case comes first."""
    spelling = name if name in environment else name.upper()
    return spelling, environment.get(spelling, "").strip()


def _parse_proxy(name: str, value: str) -> Proxy:
    """A proxy's URL. No message repeats it: it may hold a password."""
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), 0
    if parts.scheme in {"https", "socks", "socks4", "socks4a", "socks5", "socks5h"}:
        raise UsageError(
            f"{name}: {parts.scheme}:// proxies are not supported",
            hint="Name an http:// proxy; requests to https URLs are encrypted through it too.",
        )
    host = parts.hostname
    rest = (parts.path.strip("/"), parts.query, parts.fragment)
    if parts.scheme != "http" or not host or any(rest) or not _VISIBLE.fullmatch(url):
        raise UsageError(f"{name}: not the URL of a proxy", hint=f"Like this: {_example(name)}")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(f"http://{f'[{host}]' if ':' in host else host}:{port}", authorization)


def _example(name: str) -> str:
    separator = " " if name.startswith("-") else "="
    return f"{name}{separator}http://proxy.example.com:3128 (percent-encode user and password)"


def _check_certificates(name: str, path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        reason = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(
            f"{name}: {path} cannot be used: {reason}",
            hint="Name a file with certificates in PEM format (-----BEGIN CERTIFICATE-----).",
        ) from None
