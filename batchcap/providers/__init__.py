"""The providers, in an explicit table.

A third one is one folder here with a `ProviderSpec`, and one line in `PROVIDERS`;
`tests/contract/test_providers.py` then runs against it too.
"""

from __future__ import annotations

from batchcap.providers.heygen.spec import SPEC as HEYGEN
from batchcap.providers.mux.spec import SPEC as MUX
from batchcap.providers.registry import ProviderContext, ProviderSettings, ProviderSpec

PROVIDERS: dict[str, ProviderSpec] = {spec.name: spec for spec in (MUX, HEYGEN)}

__all__ = ["PROVIDERS", "ProviderContext", "ProviderSettings", "ProviderSpec"]
