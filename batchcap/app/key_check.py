"""Tries a key: one GET for each permission, none of which creates or changes anything."""

from __future__ import annotations

import asyncio

import msgspec

from batchcap.domain.errors import FatalError
from batchcap.providers import ProviderSettings, ProviderSpec
from batchcap.providers.key_probe import Access, KeyProbe
from batchcap.transport.http_errors import HttpError
from batchcap.transport.network import Network
from batchcap.transport.sender import HttpSender

TIME_LIMIT = 12.0
"""Seconds in which the responses have to arrive; less than `batchcap doctor` gives a check."""


class Permission(msgspec.Struct, frozen=True):
    """What a response showed of one permission. `message` is the error in it, or ""."""

    name: str
    access: Access
    message: str = ""
    hint: str = ""
    unauthorized: bool = False
    """Whether the response was a 401, as an unknown key gets it."""


class KeyReport(msgspec.Struct, frozen=True):
    """What a provider's responses show of a key."""

    provider: str
    credentials: tuple[str, ...]
    permissions: list[Permission]

    @property
    def is_accepted(self) -> bool:
        """Whether the key may do all that a run needs."""
        return bool(self.permissions) and all(p.access == "allowed" for p in self.permissions)

    @property
    def is_refused_whole(self) -> bool:
        """Whether no request was accepted, as with a wrong key."""
        return all(p.unauthorized for p in self.permissions)

    def verdict(self) -> str:
        """Return in some words whether the key is accepted, and why not."""
        if self.is_accepted:
            return "the key is accepted"
        if not self.permissions:
            return "no request shows whether the key is accepted"
        if self.is_refused_whole:
            return f"the key is not accepted: {self.permissions[0].message}"
        worst = self._worst()
        if worst.access == "refused":
            return f"the key may not use {worst.name}: {worst.message}"
        return f"the response does not show whether the key is accepted: {worst.message}"

    def hint(self) -> str:
        """Return what to do if the key is not accepted."""
        if self.is_accepted or not self.permissions:
            return ""
        if self.is_refused_whole:
            names = " and ".join(self.credentials)
            return f"Check {names}: copy the key again, or make a new one at the provider."
        worst = self._worst()
        return worst.hint if worst.access == "refused" else "Try again later; check the base URL."

    def _worst(self) -> Permission:
        order: dict[Access, int] = {"refused": 0, "unknown": 1, "allowed": 2}
        return min(self.permissions, key=lambda permission: order[permission.access])


class NoResponse(FatalError):
    """The provider could not be asked."""


async def check_key(spec: ProviderSpec, settings: ProviderSettings, network: Network) -> KeyReport:
    """Send one GET for each permission that a run needs, each once.

    Raises:
        NoResponse: There was none within `TIME_LIMIT`.
    """
    sender = HttpSender(
        settings.base_url, spec.headers(settings.secrets), network, dashboards=spec.dashboards
    )
    try:
        async with asyncio.timeout(TIME_LIMIT):
            permissions = await asyncio.gather(*(_try(sender, probe) for probe in spec.key_probes))
    except (HttpError, TimeoutError) as error:
        reason = str(error) or f"it took longer than {TIME_LIMIT:g} s"
        raise NoResponse(
            f"{spec.name}: no response from {sender.host}: {reason}",
            hint="batchcap doctor looks for the cause.",
        ) from None
    finally:
        await sender.close()
    return KeyReport(spec.name, spec.credentials, permissions)


async def _try(sender: HttpSender, probe: KeyProbe) -> Permission:
    response = await sender.send("GET", probe.path, None)
    access = probe.access(response)
    message = "" if access == "allowed" else str(response.error())
    hint = probe.hint if access == "refused" else ""
    return Permission(probe.permission, access, message, hint, response.status == 401)
