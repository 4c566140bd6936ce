"""IP addresses in the notations that URLs may hold. No name is resolved here."""

from __future__ import annotations

import ipaddress
import socket

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def literal_address(host: str) -> IPAddress | None:
    """The IP address that a host is, in any notation that resolvers know; None for a name.

    "127.1" and "0x7f000001" are 127.0.0.1 to them.
    """
    host = host.partition("%")[0].rstrip(".")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeError, ValueError):
        return None


def is_loopback(host: str) -> bool:
    """Whether a host is "localhost" or a loopback address. No name is resolved."""
    address = literal_address(host)
    if address is None:
        return host.rstrip(".").lower() == "localhost"
    return address.is_loopback
