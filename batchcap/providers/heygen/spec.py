"""What batchcap has to know about HeyGen before it asks HeyGen anything."""

from __future__ import annotations

from collections.abc import Mapping

from batchcap.manifest import Columns, converters
from batchcap.providers.heygen.provider import HeyGen
from batchcap.providers.heygen.schema import ACCOUNT_CODES, CREDENTIALS, NAME
from batchcap.providers.heygen.translation_list import TRANSLATION_COLUMNS
from batchcap.providers.heygen.v3 import ROOT
from batchcap.providers.heygen.webhooks import WEBHOOK
from batchcap.providers.key_probe import KeyProbe
from batchcap.providers.registry import AccountColumns, BaseUrl, ProviderSpec

_ID_URLS = (
    r"(?:https?://)?(?:app|share|api)\.heygen\.com/(?:[\w-]+/)+"
    r"((?=[\w-]*\d)[\w-]{8,})/?(?:[?#].*)?"
)
"""URLs of a translation's page. An id has a digit, unlike the words of a path."""


def _headers(secrets: Mapping[str, str]) -> Mapping[str, str]:
    return {"X-Api-Key": secrets[CREDENTIALS[0]]}


SPEC = ProviderSpec(
    name=NAME,
    build=HeyGen,
    columns=Columns(
        ids=("video_translate_id", "video_translation_id"),
        id_urls=_ID_URLS,
        label="language",
        params={"caption_type": converters.vtt},
    ),
    base_url=BaseUrl("HEYGEN_API_BASE", "https://api.heygen.com"),
    credentials=CREDENTIALS,
    headers=_headers,
    key_probes=(  # not /v3/users/me, whose response is not documented
        KeyProbe(
            permission="translations (list and read)",
            path=f"{ROOT}?limit=1",
            hint="Ask HeyGen whether the account's plan includes API access.",
            refusal_kinds=frozenset(ACCOUNT_CODES),
        ),
    ),
    rates={NAME: 5.0},
    read=NAME,
    write=NAME,
    learned=frozenset({NAME}),  # HeyGen publishes no rate
    window=2000,
    creates_jobs=False,
    options={"heygen_api": "auto"},
    webhook=WEBHOOK,
    account=AccountColumns(TRANSLATION_COLUMNS, "translations"),
)
