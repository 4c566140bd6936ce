"""The providers, in an explicit table.

A third one is one folder here that fills a `ProviderSpec`, and one line in `PROVIDERS`;
`tests/contract/test_providers.py` then runs against it too.
"""

from __future__ import annotations

from batchcap.providers.heygen import provider as heygen
from batchcap.providers.mux import provider as mux
from batchcap.providers.registry import ProviderContext, ProviderSpec

PROVIDERS: dict[str, ProviderSpec] = {
    "mux": mux.SPEC,
    "heygen": heygen.SPEC,
}

__all__ = ["PROVIDERS", "ProviderContext", "ProviderSpec"]
