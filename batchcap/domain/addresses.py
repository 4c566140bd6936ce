"""IP addresses: in the notations that URLs may hold, and whether they are public.

No name is resolved here.
"""

from __future__ import annotations

import ipaddress
import socket

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_BLOCKED_NETWORKS = tuple(
    map(ipaddress.ip_network, ("::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "fec0::/10"))
)
"""Not public, though `ipaddress` does not say so: old forms of IPv4 in IPv6, and site-local."""


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


def is_public_address(address: str, loopback: bool) -> bool:
    """Return whether an address is public; with `loopback`, whether it is public or loopback."""
    ip = _embedded_ipv4(ipaddress.ip_address(address.partition("%")[0]))
    if ip.is_loopback:
        return loopback
    return (
        ip.is_global
        and not ip.is_multicast
        and not any(ip in network for network in _BLOCKED_NETWORKS)
    )


def _embedded_ipv4(ip: IPAddress) -> IPAddress:
    """Return the IPv4 address inside an IPv6 address (mapped, 6to4 or NAT64), else the address."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip
