"""Frozen settings from flags and environment; the only reader of the environment."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from batchcap.errors import UsageError


def crash_at(environment: Mapping[str, str]) -> int | None:
    """The boundary at which to crash on purpose (`failpoints`), from BATCHCAP_CRASH_AT."""
    text = environment.get("BATCHCAP_CRASH_AT", "")
    return int(text) if text.isdecimal() else None


def uvloop_wanted(environment: Mapping[str, str]) -> bool:
    """Whether uvloop runs the loop where it is installed: BATCHCAP_LOOP=asyncio says no.

    Raises `UsageError` for any other word.
    """
    word = environment.get("BATCHCAP_LOOP", "")
    if word not in {"", "uvloop", "asyncio"}:
        raise UsageError(
            f"BATCHCAP_LOOP is {word[:40]!r}", hint="Leave it unset, or: BATCHCAP_LOOP=asyncio"
        )
    return word != "asyncio"


class Secrets(Mapping[str, str]):
    """Credentials by the name of their variable; never printed."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<Secrets {sorted(self._values)}>"


def secrets(environment: Mapping[str, str], names: Iterable[str]) -> Secrets:
    """Return those of the named secrets that are set.

    An empty one counts as not set. White space around a secret is removed, because files
    end with a line break.
    """
    found = {name: environment.get(name, "").strip() for name in names}
    return Secrets({name: value for name, value in found.items() if value})


def inbox_folder(environment: Mapping[str, str]) -> Path | None:
    """Where `batchcap listen` keeps its inbox: `$XDG_STATE_HOME/batchcap`.

    A relative path is as good as none (XDG Base Directory specification), and then it
    is in the home folder; None where there is no such folder either.
    """
    for name, below in (("XDG_STATE_HOME", "batchcap"), ("HOME", ".local/state/batchcap")):
        found = Path(environment.get(name, ""))
        if found.is_absolute():
            return found / below
    return None


class Listening(msgspec.Struct, frozen=True):
    """Where webhooks are received.

    `port` 0 is any free one. `public_url` is the endpoint as the providers reach it,
    through a proxy or a tunnel. `insecure` takes events without a signature.
    """

    host: str
    port: int
    public_url: str | None = None
    insecure: bool = False


def listening(address: str, public_url: str = "", *, insecure: bool = False) -> Listening:
    """`HOST:PORT` of --listen, and --public-url where one is given.

    Raises `UsageError` that names the option; events without a signature are taken only
    where nobody else can send them.
    """
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", address)
    if match is None or int(match[3]) > 65535:
        raise UsageError(
            f"--listen: {address[:80]!r} is no address",
            hint="Like this: --listen 127.0.0.1:8467, or [::1]:8467; port 0 is any free one",
        )
    host, public, near = match[1] or match[2], None, True
    if public_url:
        public, near = checked_url(
            "--public-url", public_url, "Like this: --public-url https://hooks.example.com"
        )
    if insecure and not (_on_loopback(host) and near):
        raise UsageError(
            "--insecure-webhooks takes what anybody sends, so it is for loopback only",
            hint="Set the signing secrets instead, or leave out --public-url and listen on "
            "127.0.0.1.",
        )
    return Listening(host, int(match[3]), public, insecure)


class Settings(msgspec.Struct, frozen=True):
    """A run's settings. Rates are requests per second, durations seconds, sizes bytes.

    `rates` (by bucket) and `windows` (by provider) are what the user set; what is missing
    is as the provider's spec says. `options` are those of all providers, by name.
    """

    out: Path
    rates: Mapping[str, float | None] = {}
    headroom: float = 0.0
    windows: Mapping[str, int] = {}
    connections: int = 64
    downloads: int = 32
    options: Mapping[str, str] = {}
    job_timeout: float = 7200.0
    settle: float = 60.0
    retry_jobs: int = 0
    max_caption: int = 64 * 1000 * 1000
    listening: Listening | None = None

    @property
    def share(self) -> float:
        """The part of every bucket that is not left to the user's other programs."""
        return 1 - self.headroom / 100

    def rate(self, bucket: str, documented: float | None) -> float | None:
        """Return a bucket's rate, less what is left to the user's other programs."""
        rate = self.rates.get(bucket, documented)
        return None if rate is None else rate * self.share


def checked_url(name: str, url: str, hint: str) -> tuple[str, bool]:
    """Return a URL without its trailing slashes, and whether it is on loopback.

    Raises:
        UsageError: It is neither https nor on loopback, or has user, query or fragment;
            the message begins with `name`.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    loopback = _on_loopback(host or "")
    if (
        not host
        or not url.isprintable()
        or " " in url
        or not (parts.scheme == "https" or (parts.scheme == "http" and loopback))
    ):
        raise UsageError(
            f"{name} must be an https URL (http only on loopback), it is {_shown(url)!r}",
            hint=hint,
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(
            f"{name} must be a plain URL without user, query or fragment",
            hint="Credentials have variables of their own.",
        )
    return url.rstrip("/"), loopback


def _shown(url: str) -> str:
    """A URL fit for a message: without anything that could be a credential."""
    return re.sub(r"//[^/]*@", "//***@", re.split(r"[?#]", url)[0])[:80]


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
