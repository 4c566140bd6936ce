"""The providers, in an explicit table.

A further one is one folder here with a `ProviderSpec`, and one entry in `PROVIDERS`; see
`tests/third_provider/` for an example. `tests/contract/test_providers.py` runs against it.
"""

from __future__ import annotations

from batchcap.providers.heygen.spec import SPEC as HEYGEN
from batchcap.providers.mux.spec import SPEC as MUX
from batchcap.providers.registry import ProviderContext, ProviderSettings, ProviderSpec

PROVIDERS: dict[str, ProviderSpec] = {spec.name: spec for spec in (MUX, HEYGEN)}

__all__ = ["PROVIDERS", "ProviderContext", "ProviderSettings", "ProviderSpec"]
