"""IP addresses in every notation, and which of them are public."""

from __future__ import annotations

import pytest

from batchcap.domain.addresses import is_loopback, is_public_address, literal_address


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("10.1", "10.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("10.0.0.1.", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("8.8.8.8", "8.8.8.8"),
    ],
)
def test_literal_address_in_any_notation_is_recognised(host: str, address: str) -> None:
    assert str(literal_address(host)) == address


@pytest.mark.parametrize("host", ["localhost", "a.example", "", "1.example", "ü"])
def test_host_name_is_no_literal_address(host: str) -> None:
    assert literal_address(host) is None


def test_is_loopback_of_names_and_addresses() -> None:
    assert is_loopback("localhost.")
    assert is_loopback("127.1")
    assert not is_loopback("a.localhost")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("127.0.0.1", False),
        ("169.254.1.1", False),
        ("192.168.0.1", False),
        ("100.64.1.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("239.1.1.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("2002:a00:1::", False),
        ("::10.0.0.1", False),
        ("::ffff:0:10.0.0.1", False),
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
    ],
)
def test_is_public_address_of_each_range_is_as_registered(address: str, public: bool) -> None:
    assert is_public_address(address, loopback=False) is public


def test_file_host_in_the_sandbox_allows_loopback_and_no_other_local_address() -> None:
    assert is_public_address("127.0.0.1", loopback=True)
    assert is_public_address("::1", loopback=True)
    assert not is_public_address("10.0.0.1", loopback=True)
    assert not is_public_address("169.254.169.254", loopback=True)
