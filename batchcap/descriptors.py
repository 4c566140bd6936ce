"""How many files and sockets the system lets us have open, and what fits in."""

from __future__ import annotations

import resource

import msgspec

from batchcap.settings import Settings

_OTHERS = 48
"""Ledger, logs, libraries, the sandbox's pipes, folders being synced."""


def fitted(settings: Settings) -> tuple[Settings, str]:
    """Settings whose connections and downloads fit, and a warning where they had to shrink.

    The soft limit is raised as far as the system allows first.
    """
    limit = _raised()
    wanted = settings.connections + settings.downloads
    room = max(limit - _OTHERS, 4)
    if wanted <= room:
        return settings, ""
    connections = max(1, settings.connections * room // wanted)
    downloads = max(1, settings.downloads * room // wanted)
    smaller = msgspec.structs.replace(settings, connections=connections, downloads=downloads)
    return smaller, (
        f"only {limit} files may be open here: going on with {connections} connections and "
        f"{downloads} downloads (ulimit -n raises the limit)"
    )


def _raised() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    best = 1 << 16 if hard == resource.RLIM_INFINITY else hard
    if best > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
        except (ValueError, OSError):
            return soft
    return max(best, soft)
