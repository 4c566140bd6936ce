"""Whether a provider's key is accepted."""

from __future__ import annotations

from batchcap.app.checks.diagnosis import Diagnosis, Level
from batchcap.app.key_check import NoResponse, check_key
from batchcap.domain.errors import FatalError
from batchcap.providers import ProviderSettings, ProviderSpec
from batchcap.providers.registry import require_credentials
from batchcap.transport.network import Network


async def check_provider_key(
    spec: ProviderSpec, settings: ProviderSettings, network: Network
) -> list[Diagnosis]:
    """Try the key with one GET for each permission."""
    subject = f"{spec.name} key"
    if missing := [name for name in spec.credentials if name not in settings.secrets]:
        hint = f"export {' '.join(f'{name}=...' for name in missing)}"
        return [Diagnosis(subject, "problem", f"{' and '.join(missing)} not set", hint)]
    try:
        require_credentials([spec], settings.secrets)
        report = await check_key(spec, settings, network)
    except NoResponse as error:
        hint = f"See the line of {spec.name}; if it is ok, try again."
        return [Diagnosis(subject, "problem", error.message, hint)]
    except FatalError as error:
        return [Diagnosis(subject, "problem", error.message, error.hint)]
    if report.is_accepted:
        names = " and ".join(permission.name for permission in report.permissions)
        return [Diagnosis(subject, "ok", f"accepted for {names}")]
    is_refused = any(permission.access == "refused" for permission in report.permissions)
    level: Level = "problem" if is_refused else "warning"
    return [Diagnosis(subject, level, report.verdict(), report.hint())]
