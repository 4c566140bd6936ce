"""Proxies and certificates: which are accepted and refused; passwords are never shown."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest
import trustme

from batchcap.domain.errors import UsageError
from batchcap.transport.network import Network, Proxy, network_settings

PROXY = "http://proxy.test:3128"


def proxy_url(environment: dict[str, str], host: str = "api.mux.com", port: int = 443) -> str:
    proxy = network_settings(environment).proxy_for("https", host, port)
    return proxy.url if proxy else "direct"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("value", [PROXY, "proxy.test:3128", "HTTP://proxy.test:3128/"])
def test_proxy_variable_in_either_case_is_used(name: str, value: str) -> None:
    assert proxy_url({name: value}) == PROXY


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HTTPS_PROXY": ""},
        {"HTTP_PROXY": PROXY},
        {"HTTPS_PROXY": PROXY, "https_proxy": ""},
        {"NO_PROXY": "*"},
    ],
)
def test_https_without_its_proxy_variable_is_direct(environment: dict[str, str]) -> None:
    assert proxy_url(environment) == "direct"


def test_proxy_variable_in_lower_case_and_of_the_scheme_takes_precedence() -> None:
    other = {"ALL_PROXY": "http://a.test", "HTTPS_PROXY": "http://b.test"}
    assert proxy_url({**other, "https_proxy": PROXY}) == PROXY
    assert proxy_url(other) == "http://b.test:80"


def test_http_has_a_proxy_of_its_own() -> None:
    network = network_settings({"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://plain.test:8080"})
    proxy = network.proxy_for("http", "files.test", 80)
    assert proxy is not None
    assert proxy.url == "http://plain.test:8080"


def test_option_replaces_the_variables_and_keeps_no_proxy() -> None:
    environment = {"HTTPS_PROXY": "socks5://other.test", "NO_PROXY": "heygen.com"}
    network = network_settings(environment, "http://option.test:1")
    proxy = network.proxy_for("https", "api.mux.com", 443)
    assert proxy is not None
    assert proxy.url == "http://option.test:1"
    assert network.proxy_for("https", "api.heygen.com", 443) is None


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("value", "is_direct"),
    [
        ("api.mux.com", True),
        ("x.test, mux.com", True),
        (".mux.com", True),
        ("*.mux.com", True),
        ("API.MUX.COM", True),
        ("api.mux.com:443", True),
        ("*", True),
        ("api.mux.com:444", False),
        ("ux.com", False),
        ("heygen.com", False),
        ("", False),
    ],
)
def test_no_proxy_variable_matches_host_domain_and_port(
    name: str, value: str, is_direct: bool
) -> None:
    assert proxy_url({"HTTPS_PROXY": PROXY, name: value}) == ("direct" if is_direct else PROXY)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_is_never_proxied(host: str) -> None:
    assert proxy_url({"ALL_PROXY": PROXY}, host) == "direct"


@pytest.mark.parametrize("host", ["localhost.example", "10.0.0.1", "xlocalhost"])
def test_other_hosts_are_proxied(host: str) -> None:
    assert proxy_url({"ALL_PROXY": PROXY}, host) == PROXY


SECRET = "p@ss/w:rd%"


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_credentials_are_decoded_for_the_header_and_not_in_url_or_repr(scheme: str) -> None:
    url = f"{scheme}us%C3%A9r:p%40ss%2Fw%3Ard%25@proxy.test:3128"
    network = network_settings({"HTTPS_PROXY": url})
    proxy = network.proxies["https"]
    pair = base64.b64encode(f"usér:{SECRET}".encode()).decode()
    assert proxy == Proxy(PROXY, f"Basic {pair}")
    assert "%40" not in repr(network)
    assert pair not in repr(network)


@pytest.mark.parametrize("source", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy", "--proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "https://user:p%40ss-secret@proxy.test:3128",
        "socks5://user:p%40ss-secret@proxy.test:1080",
        "socks5h://user:p%40ss-secret@proxy.test:1080",
        "SOCKS4://user:p%40ss-secret@proxy.test",
        "ftp://user:p%40ss-secret@proxy.test",
        "http://user:p%40ss-secret@",
        "http://user:p%40ss-secret@proxy.test:port",
        "http://user:p%40ss-secret@proxy.test:99999",
        "http://user:p%40ss-secret@proxy.test/path",
        "http://user:p%40ss-secret@[half",
        "http://user:p%40ss-secret@pro xy.test",
        "http://user:p%40ss-secret@pro\nxy.test",
        "http://user:p/ss-secret@proxy.test",
    ],
)
def test_unusable_proxy_is_refused_without_showing_its_password(source: str, value: str) -> None:
    environment, option = ({}, value) if source == "--proxy" else ({source: value}, "")
    with pytest.raises(UsageError, match=source) as caught:
        network_settings(environment, option)
    shown = f"{caught.value.message} {caught.value.hint}"
    assert "secret" not in shown
    assert caught.value.hint


def test_certificates_of_a_file_are_added_to_the_system_s(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    own, system = network_settings({}, ca_file=path).tls, Network().tls
    assert len(own.get_ca_certs()) == len(system.get_ca_certs()) + 1
    assert own.verify_mode is ssl.CERT_REQUIRED
    assert own.check_hostname


@pytest.mark.parametrize("source", ["--ca", "SSL_CERT_FILE"])
@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"\xff\x00"])
def test_file_without_certificates_is_refused(
    tmp_path: Path, source: str, content: bytes | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    environment = {"SSL_CERT_FILE": str(path)} if source == "SSL_CERT_FILE" else {}
    with pytest.raises(UsageError, match=source) as caught:
        network_settings(environment, ca_file=None if environment else path)
    assert "PEM" in caught.value.hint
