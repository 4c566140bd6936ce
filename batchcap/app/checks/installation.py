"""Which versions and extras are installed."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.domain.version import __version__

_SHOWN = ("aiohttp", "anyio")
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+).*?(?:extra == ['\"](?P<extra>[\w-]+)['\"].*)?$")
_FOR_DEVELOPERS = {"dev", "bench"}


def check_installation() -> list[Diagnosis]:
    """Return the versions of batchcap and its libraries, and the extras that are there."""
    system = f"Python {platform.python_version()} on {platform.system()} {platform.release()}"
    libraries = ", ".join(f"{name} {_version(name)}" for name in _SHOWN)
    return [
        Diagnosis("batchcap", "ok", f"{__version__}, {libraries}, {system}"),
        Diagnosis("extras", "ok", _extras(packages_by_extra(_requirements()))),
    ]


def _extras(packages: Mapping[str, str]) -> str:
    versions = {extra: _version(package) for extra, package in packages.items()}
    present = [f"{name} ({packages[name]} {found})" for name, found in versions.items() if found]
    absent = [name for name, found in versions.items() if not found]
    text = f"installed: {', '.join(present) or 'none'}"
    return text + (f"; not installed: {', '.join(absent)}" if absent else "")


def packages_by_extra(requirements: Iterable[str]) -> Mapping[str, str]:
    """Return the package of each extra that adds something for users."""
    matches = (_REQUIREMENT.match(text) for text in requirements)
    pairs = ((match["extra"], match["name"]) for match in matches if match and match["extra"])
    return {extra: name for extra, name in pairs if extra not in _FOR_DEVELOPERS}


def _requirements() -> list[str]:
    try:
        return requires("batchcap") or []
    except PackageNotFoundError:  # run from a folder of its source
        return []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
