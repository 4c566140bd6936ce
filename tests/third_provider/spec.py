"""The one entry that has to be added to `PROVIDERS`."""

from __future__ import annotations

from collections.abc import Mapping

from batchcap.manifest import Columns, converters
from batchcap.providers.registry import BaseUrl, ProviderSpec
from tests.third_provider.provider import CREDENTIALS, Acme
from tests.third_provider.webhooks import NAME, WEBHOOK


def _headers(secrets: Mapping[str, str]) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secrets[CREDENTIALS[0]]}"}


SPEC = ProviderSpec(
    name=NAME,
    build=Acme,
    columns=Columns(ids=("clip_id",), targets="to_language", params={"voice": converters.text}),
    base_url=BaseUrl("ACME_URL", "https://api.acme.example"),
    credentials=CREDENTIALS,
    headers=_headers,
    rates={"acme.read": 10.0, "acme.write": 5.0},
    read="acme.read",
    write="acme.write",
    window=50,
    options={"acme_quality": "best"},
    webhook=WEBHOOK,
)
