"""Fits connections and downloads to the number of files that the process may open."""

from __future__ import annotations

import resource

import msgspec

from batchcap.domain.settings import Settings

RESERVED_FDS = 48
"""File descriptors kept for the ledger, logs, libraries, the sandbox's pipes and folders."""

_UNLIMITED = 65_536  # open files to count on if the system sets no limit


def fit_to_fd_limit(settings: Settings) -> tuple[Settings, str]:
    """Return settings that fit the limit, and a warning if they had to be reduced.

    Raises the soft limit first, as far as the system allows.
    """
    limit = raise_soft_limit()
    wanted = settings.connections + settings.downloads
    available = max(limit - RESERVED_FDS, 4)
    if wanted <= available:
        return settings, ""
    connections = max(1, settings.connections * available // wanted)
    downloads = max(1, settings.downloads * available // wanted)
    smaller = msgspec.structs.replace(settings, connections=connections, downloads=downloads)
    return smaller, (
        f"only {limit} files may be open: using {connections} connections and "
        f"{downloads} downloads (ulimit -n raises the limit)"
    )


def raise_soft_limit() -> int:
    """Raise the soft limit on open files as far as possible; returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _UNLIMITED
    best = _UNLIMITED if hard == resource.RLIM_INFINITY else hard
    if best <= soft:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
    except (ValueError, OSError):
        return soft
    return best
