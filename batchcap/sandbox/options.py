"""Everything about the sandbox that can be set, each with its unit and default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Literal

import msgspec
from yarl import URL

REQUEST_FAULTS: Mapping[str, str] = {
    "throttle": "429 although the limit is kept",
    "server_error": "500, 502 or 503 with the provider's JSON error",
    "html_error": "502 with an HTML page, as from an edge",
    "empty_error": "503 with an empty body",
    "reset": "the connection is dropped before an answer, and nothing was done",
    "lost_create": "a create is carried out and its answer is lost",
    "late_create": "a create's connection is dropped, and the create lands seconds later",
    "cut_body": "Content-Length promises more than is sent",
    "slow_body": "the body trickles",
    "expired_link": "a file host says that a fresh link has expired",
    "not_vtt": "a file host answers 200 with HTML",
}
"""Faults of one request: the share of requests that they hit."""

FATE_FAULTS: Mapping[str, str] = {
    "job_error": "a Mux job ends as errored, retryable",
    "job_cancelled": "a Mux job ends as cancelled",
    "job_stuck": "a Mux job never ends",
    "late_link": "a HeyGen video is completed for late_link_seconds before it has a caption link",
    "missing_link": "a completed Mux job has no temporary_vtt_url",
    "not_found_after_create": "GET of a fresh Mux job answers 404 for hidden_seconds",
}
"""Faults of one job or video: the share of jobs or videos that they hit."""

DELIVERY_FAULTS: Mapping[str, str] = {
    "webhook_lost": "an event is never sent",
    "webhook_duplicate": "an event is sent twice, at once or webhook_retry seconds apart",
    "webhook_reordered": "an event comes webhook_late_seconds after all that follow it",
    "webhook_bad_signature": "an attempt is signed with another secret",
    "webhook_foreign": "beside an event comes one of a job or asset that is not ours",
}
"""Faults of one webhook event: the share of events, or attempts, that they hit."""

FAULTS: Mapping[str, str] = {**REQUEST_FAULTS, **FATE_FAULTS, **DELIVERY_FAULTS}

Route = Literal["on", "gone404", "gone410"]


def parse_faults(texts: Sequence[str]) -> dict[str, float]:
    """`NAME=SHARE` texts as the `faults` of `SandboxOptions`.

    Raises `ValueError` with the known names where a text is not one of them.
    """
    faults: dict[str, float] = {}
    for text in texts:
        fault, equals, number = text.partition("=")
        try:
            faults[fault.strip()] = float(number) if equals else 1.0
        except ValueError:
            raise ValueError(f"fault {text!r}: {number!r} is not a share from 0 to 1") from None
    check_faults(faults)
    return faults


def check_faults(faults: Mapping[str, float]) -> None:
    """Raise `ValueError` for an unknown name, with those there are, or for a bad share."""
    for fault, hit in faults.items():
        if fault not in FAULTS:
            raise ValueError(f"no fault is called {fault!r}; there are {', '.join(FAULTS)}")
        if not 0 <= hit <= 1:
            raise ValueError(f"fault {fault}={hit}: a share lies between 0 and 1")


def check_webhook(url: str) -> None:
    """Raise `ValueError` for a URL that is not http on loopback; empty is none at all."""
    try:
        parsed = URL(url)
        host = parsed.host or ""
        near = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        near = False
    if url and not (near and parsed.scheme == "http"):
        raise ValueError(f"webhook URL {url!r}: the sandbox sends to http on loopback only")


class SandboxOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the sandbox behaves. Seconds are sandbox seconds unless a field says otherwise.

    Raises `ValueError` where a fault has an unknown name or is no share, and where
    events were to leave this machine.
    """

    # The world and its clock.
    seed: int = 0
    epoch: float | None = None
    """Unix time of the start; None is the real time, or that of the state file."""
    speed: float = 1.0
    """Sandbox seconds per second of the event loop."""
    strict_ids: bool = False
    """Only ids of the two accounts exist; else every id does, words in it aside."""
    mux_account: int = 100
    """How many assets of `mux_ids()` the account holds."""
    mux_ids: tuple[str, ...] = ()
    """Further assets of the account."""
    heygen_account: int = 100
    """How many videos of `heygen_ids()` the account holds."""
    heygen_ids: tuple[str, ...] = ()
    """Further videos of the account."""

    # Credentials.
    mux_token_id: str = "sandbox-token-id"  # noqa: S105  # not a secret at all
    mux_token_secret: str = "sandbox-token-secret"  # noqa: S105  # opens nothing but the sandbox
    mux_signing_key: str = "sandbox-signing-key"
    """The `kid` that tokens for signed playback ids carry."""
    mux_signing_public_key: str | None = None
    """PEM; None accepts any signature of a token that is otherwise right."""
    heygen_api_key: str = "sandbox-heygen-key"

    # Mux Robots.
    robots_terms: bool = True
    """Whether the environment accepted the Robots terms; else all of Robots answers 403."""
    robots_v0: Route = "on"
    duplicates: Literal["refuse_active", "refuse_any", "allow"] = "refuse_active"
    """Which earlier equal job makes a create a 409: an active, any not failed, none."""
    list_order: Literal["newest", "oldest"] = "newest"
    job_seconds: float = 0.8
    """Median of a job's lognormal duration."""
    job_sigma: float = 0.5
    job_seconds_max: float = 3.0
    job_pending_share: float = 0.3
    """The part of its life that a job is pending."""
    job_lifetime: float = 30 * 86400.0
    """After that a job is deleted (Mux docs: 30 days after creation)."""
    odd_state_seconds: float = 3.0
    """How long an id with `oddstate` shows a status word nobody has seen."""
    track_settle_seconds: float = 0.5
    """How long an uploaded track is preparing."""
    source_track_in_outputs: bool = True
    """Whether outputs name the source track, as the seed does and later docs do not."""
    url_without_upload: bool = True
    """Whether a job with upload_to_mux false has a link; the docs do not say."""

    # HeyGen.
    heygen_v2: Route = "on"
    heygen_v3: Route = "on"
    heygen_error_shape: Literal["null", "string", "object"] = "string"
    """What `error` holds in an error answer of v2."""
    heygen_v2_unready: Literal["empty", "null", "absent", "error"] = "empty"
    """`caption_url` of v2 where there is no caption: "", null, absent, or a 400."""
    heygen_no_credit: bool = False
    """402 for everything."""
    heygen_running: float = 0.1
    """Share of videos that complete only after they were first looked at."""
    heygen_finish_seconds: float = 3.0
    """The longest that such a video takes."""
    late_link_seconds: float = 30.0
    statuses_page: int = 100
    """Entries in one answer of the v3 statuses, the rest by `next_token`."""

    # Both.
    gone_body: Literal["json", "html"] = "json"
    """What a route that is gone answers with."""
    link_seconds: float = 7 * 86400.0
    caption_bytes: int = 4096
    """About how long a caption is in English."""
    gzip: bool = False
    """Whether file hosts compress for clients that accept it."""
    answer_seconds: float = 0.0
    """Loop seconds that every answer takes."""
    keepalive_seconds: float = 75.0
    """Loop seconds after which an idle connection is closed."""

    # Webhooks.
    mux_webhook_url: str = ""
    """Where Mux's events go, http on loopback; empty: none are sent."""
    heygen_webhook_url: str = ""
    """Where HeyGen's events go, likewise."""
    webhook_secret_mux: str = "whsec_sandbox_mux"  # noqa: S105  # as above
    webhook_secret_heygen: str = "whsec_sandbox_heygen"  # noqa: S105  # as above
    webhook_delay: float = 0.0
    """From a change to the first attempt to tell of it."""
    webhook_retry: float = 5.0
    """From the first attempt to the second; each wait doubles, over 24 h in all."""
    webhook_late_seconds: float = 5.0
    """How late a reordered event is."""
    webhook_names: Literal["v0", "v1"] = "v0"
    """Whether Mux's event types begin with `robots.job` or with `robots.v1.job`."""
    webhook_nested: bool | Literal["mixed"] = False
    """Whether Mux nests a job under the event's type; its documents show both. Mixed: by event."""
    webhook_outputs: bool = True
    """Whether the completed event of a Mux job has the outputs."""
    webhook_header: Literal["signature", "heygen-signature", "x-heygen-signature"] = "signature"
    """The header of HeyGen's signature; no document of theirs names it."""

    # Limits, in requests per loop second; None lifts them.
    mux_write_rate: float | None = None
    mux_read_rate: float | None = None
    heygen_rate: float | None = None
    burst: int = 5
    """Requests that a rested bucket takes at once."""
    retry_after: Literal["seconds", "date", "absent"] = "seconds"
    """How Mux says when to come back; HeyGen always says seconds."""
    retry_after_seconds: int = 1
    """The least that Retry-After asks for."""

    # Faults.
    faults: dict[str, float] = {}
    fault_streak: int = 2
    """Faults never hit the same request, or job, more often than this in a row."""
    late_create_seconds: float = 5.0
    hidden_seconds: float = 2.0
    slow_body_seconds: float = 2.0
    """Loop seconds that a slow body takes."""

    keep_requests: int = 1_000_000
    """How many requests the journal keeps one by one; it counts all of them."""

    def __post_init__(self) -> None:
        check_faults(self.faults)
        check_webhook(self.mux_webhook_url)
        check_webhook(self.heygen_webhook_url)
        if not self.webhook_retry > 0:
            raise ValueError(f"webhook_retry={self.webhook_retry}: the wait has to be positive")

    @classmethod
    def documented(cls, **fields: Any) -> SandboxOptions:
        """The documented limits of Mux, and for HeyGen, who gives no number, 5/s."""
        limits = {"mux_write_rate": 1.0, "mux_read_rate": 5.0, "heygen_rate": 5.0}
        return cls(**{**limits, **fields})

    def limits(self) -> tuple[float | None, float | None, float | None, int]:
        """The fields that the buckets are made from."""
        return (self.mux_write_rate, self.mux_read_rate, self.heygen_rate, self.burst)

    def but(self, **fields: Any) -> SandboxOptions:
        """These options with some fields changed, checked like JSON.

        Raises `ValueError` for a field that is unknown, of a wrong type, or fixed
        from the start (seed, epoch, speed).
        """
        fixed = {"seed", "epoch", "speed"} & fields.keys()
        if fixed:
            raise ValueError(f"cannot change while the sandbox runs: {', '.join(sorted(fixed))}")
        return msgspec.convert({**msgspec.structs.asdict(self), **fields}, SandboxOptions)
