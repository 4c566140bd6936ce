"""What batchcap has to know about Mux before it asks Mux anything."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from batchcap.manifest import Columns, converters, languages
from batchcap.providers.key_probe import KeyProbe
from batchcap.providers.mux import manifest_rules
from batchcap.providers.mux.asset_list import ASSET_COLUMNS
from batchcap.providers.mux.provider import STREAM_URL, Mux
from batchcap.providers.mux.robots_api import JOBS
from batchcap.providers.mux.schema import CREDENTIALS, DASHBOARDS, NAME
from batchcap.providers.mux.signing import SIGNING_SECRETS
from batchcap.providers.mux.source_tracks import source_key
from batchcap.providers.mux.webhooks import WEBHOOK
from batchcap.providers.registry import AccountColumns, BaseUrl, ProviderSpec, TrackRule


def _headers(secrets: Mapping[str, str]) -> Mapping[str, str]:
    pair = ":".join(secrets[name] for name in CREDENTIALS)
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


SPEC = ProviderSpec(
    name=NAME,
    build=Mux,
    columns=Columns(
        ids=("asset_id",),
        id_urls=r"(?:https?://)?(?:dashboard|api)\.mux\.com/.*/assets/(\w+)(?:[/?#].*)?",
        other_urls={manifest_rules.PLAYBACK_URLS: manifest_rules.IS_PLAYBACK_ID},
        targets="to_language_code",
        source_language="from_language",
        source_track="track_id",
        params={
            "track_id": converters.identifier,
            "from_language": languages.tag,
            "passthrough": converters.text,
            "upload_to_mux": converters.flag,
            "track_name": converters.text,
            "never_translate": manifest_rules.terms,
            "replace_existing_tracks": manifest_rules.replacement,
        },
        problems=manifest_rules.problems,
    ),
    base_url=BaseUrl("MUX_BASE_URL", "https://api.mux.com"),
    other_urls=(STREAM_URL,),
    credentials=CREDENTIALS,
    other_secrets=SIGNING_SECRETS,
    headers=_headers,
    key_probes=(
        KeyProbe(
            permission="Video (read assets)",
            path="/video/v1/assets?limit=1",
            hint="Make a new token with Video and Robots permissions: permissions cannot be added "
            "to a token later.",
        ),
        KeyProbe(
            permission="Robots (translate captions)",
            path=f"{JOBS}?limit=1",
            # Mux: 401 for a token without the permission, 403 while the terms are not accepted
            hint="Accept the Robots terms for the token's environment in the dashboard, or make a "
            "new token with Video and Robots permissions: permissions cannot be added later.",
        ),
    ),
    rates={"mux.write": 1.0, "mux.read": 5.0},
    read="mux.read",
    write="mux.write",
    window=1000,
    source_key=source_key,
    options={"on_existing": "download"},
    track_rule=TrackRule(
        manifest_rules.uploads_track,
        "track_name",
        manifest_rules.NO_UPLOAD,
        manifest_rules.PUBLISHED,
    ),
    webhook=WEBHOOK,
    account=AccountColumns(ASSET_COLUMNS, "assets"),
    dashboards=DASHBOARDS,
)
