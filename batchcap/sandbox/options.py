"""All options of the sandbox, with their units and defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Literal

import msgspec
from yarl import URL

REQUEST_FAULTS: Mapping[str, str] = {
    "throttle": "429 although the rate limit is kept",
    "server_error": "500, 502 or 503 with the provider's JSON error",
    "html_error": "502 with an HTML page, as from a CDN edge",
    "empty_error": "503 with an empty body",
    "reset": "the connection is dropped without a response; nothing was done",
    "lost_create": "a create is carried out, but its response is lost",
    "late_create": "a create's connection is dropped; it is carried out late_create_seconds later",
    "cut_body": "Content-Length promises more than is sent",
    "slow_body": "the body is sent in small chunks over slow_body_seconds",
    "expired_link": "a file host reports a fresh link as expired",
    "not_vtt": "a file host responds 200 with HTML",
}
"""Faults of single requests. Their share is the share of requests that they hit."""

JOB_FAULTS: Mapping[str, str] = {
    "job_error": "a Mux job ends as errored, retryable",
    "job_cancelled": "a Mux job ends as cancelled",
    "job_stuck": "a Mux job never ends",
    "late_link": "a HeyGen video is completed for late_link_seconds before it has a caption link",
    "missing_link": "a completed Mux job has no temporary_vtt_url",
    "not_found_after_create": "GET of a new Mux job returns 404 for hidden_seconds",
}
"""Faults of jobs and videos. Their share is the share of jobs or videos that they hit."""

DELIVERY_FAULTS: Mapping[str, str] = {
    "webhook_lost": "an event is never sent",
    "webhook_duplicate": "an event is sent twice, at once or webhook_retry seconds apart",
    "webhook_reordered": "an event is sent webhook_late_seconds after all that follow it",
    "webhook_bad_signature": "an attempt is signed with another secret",
    "webhook_foreign": "an event of a job or asset that batchcap did not create is sent as well",
}
"""Faults of webhooks. Their share is the share of events or attempts that they hit."""

FAULTS: Mapping[str, str] = {**REQUEST_FAULTS, **JOB_FAULTS, **DELIVERY_FAULTS}

RouteStatus = Literal["on", "gone404", "gone410"]


def parse_faults(texts: Sequence[str]) -> dict[str, float]:
    """Parse `NAME=SHARE` texts into the `faults` of `SandboxOptions`.

    Raises:
        ValueError: a name is unknown, or a share is not a number from 0 to 1.
    """
    faults: dict[str, float] = {}
    """Shares from 0 to 1 by fault; see `FAULTS`."""
    for text in texts:
        fault, equals, number = text.partition("=")
        try:
            faults[fault.strip()] = float(number) if equals else 1.0
        except ValueError:
            raise ValueError(f"fault {text!r}: {number!r} is not a share from 0 to 1") from None
    check_faults(faults)
    return faults


def check_faults(faults: Mapping[str, float]) -> None:
    """Check the names and shares of faults.

    Raises:
        ValueError: a name is unknown, or a share is not between 0 and 1.
    """
    for fault, share in faults.items():
        if fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}; known faults: {', '.join(FAULTS)}")
        if not 0 <= share <= 1:
            raise ValueError(f"fault {fault}={share}: a share must be between 0 and 1")


def check_webhook_url(url: str) -> None:
    """Check that a URL is http on loopback, or empty.

    Raises:
        ValueError: it is neither.
    """
    try:
        parsed = URL(url)
        host = parsed.host or ""
        is_loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if url and not (is_loopback and parsed.scheme == "http"):
        raise ValueError(f"webhook URL {url!r}: the sandbox sends to http on loopback only")


class SandboxOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the sandbox behaves. Durations are in sandbox seconds, unless a field says otherwise.

    Raises:
        ValueError: the name or share of a fault is invalid, a webhook URL is not on loopback,
            or `webhook_retry` is not positive.
    """

    # The world and its clock.
    seed: int = 0
    epoch: float | None = None
    """Unix time at the start. None: the time in the state file, else the real time."""
    speed: float = 1.0
    """Sandbox seconds per second of the event loop."""
    strict_ids: bool = False
    """Whether only the ids of the two accounts exist. If not, every id does, unless it has
    a keyword such as `missing`.
    """
    mux_account: int = 100
    """Number of assets of `mux_ids()` in the account."""
    mux_ids: tuple[str, ...] = ()
    """More assets in the account."""
    heygen_account: int = 100
    """Number of videos of `heygen_ids()` in the account."""
    heygen_ids: tuple[str, ...] = ()
    """More videos in the account."""

    # Credentials.
    mux_token_id: str = "sandbox-token-id"  # noqa: S105  # a public default, opens nothing
    mux_token_secret: str = "sandbox-token-secret"  # noqa: S105  # a public default, opens nothing
    mux_high_token_id: str = "sandbox-high-token-id"  # noqa: S105  # a public default
    """A second token, of high priority: its requests have buckets of their own."""
    mux_high_token_secret: str = "sandbox-high-token-secret"  # noqa: S105  # a public default
    mux_signing_key: str = "sandbox-signing-key"
    """The `kid` that tokens for signed playback ids carry."""
    mux_signing_public_key: str | None = None
    """PEM; None accepts any signature, if the claims of the token are right."""
    heygen_api_key: str = "sandbox-heygen-key"

    # Mux Robots.
    robots_terms: bool = True
    """Whether the environment accepted the Robots terms. If not, all of Robots returns 403."""
    robots_permission: bool = True
    """Whether the token has the Robots permission. If not, all of Robots returns 401."""
    robots_v0: RouteStatus = "on"
    create_limit: int | None = None
    """Number of jobs after which every create is refused; None: no limit."""
    create_refusal: Literal["units", "workflow", "terms", "scope"] = "units"
    """Why: the units of the free plan, the plan's workflows, terms, or the token (401)."""
    units_limit: int | None = None
    """Units of all jobs together beyond which a create gets 403; a cheaper one may still pass."""
    mux_error_shape: Literal["messages", "message", "errors"] = "messages"
    """Where the text of an error is: an array or a text in `error`, or a list beside it."""
    duplicates: Literal["refuse_active", "refuse_any", "allow"] = "refuse_active"
    """Which earlier job for the same caption makes a create fail with 409.

    Respectively: one that has not ended; one that has not failed; none.
    """
    duplicate_lag_seconds: float = 0.0
    """How long after a create the check for duplicates does not see its job."""
    upload_conflict: Literal["errored", "no_track"] = "errored"
    """What becomes of a job if a track came in the way of its own while it ran.

    Both jobs passed the check of tracks. Before mid-September 2026 the later one completed,
    was billed and had no track.
    """
    list_lag_seconds: float = 0.0
    """How long after its create a job is not on the list (in practice a few seconds)."""
    list_order: Literal["newest", "oldest"] = "newest"
    job_seconds: float = 0.8
    """Median of a job's lognormal duration."""
    job_sigma: float = 0.5
    job_seconds_max: float = 3.0
    job_pending_share: float = 0.3
    """The share of its duration for which a job is pending."""
    job_lifetime: float = 30 * 86400.0
    """Age at which a job is deleted (Mux docs: 30 days)."""
    odd_state_seconds: float = 3.0
    """How long jobs and videos with `oddstate` in their id show an undocumented status."""
    track_settle_seconds: float = 0.5
    """How long an uploaded track stays in preparing."""
    detail_lag_seconds: float = 0.0
    """How long the detail of a job shows its previous state (in practice up to a minute)."""
    source_track_in_outputs: bool = True
    """Whether outputs contain the source track: early documents do, later ones do not."""
    url_without_upload: bool = True
    """Whether a job with upload_to_mux false has a link (not documented)."""

    # HeyGen.
    heygen_v2: RouteStatus = "on"
    heygen_v3: RouteStatus = "on"
    heygen_error_shape: Literal["null", "string", "object"] = "string"
    """What `error` is in an error response of v2."""
    heygen_v2_unready: Literal["empty", "null", "absent", "error"] = "empty"
    """`caption_url` of v2 if there is no caption: "", null, absent, or a 400 instead."""
    heygen_no_credit: bool = False
    """Whether every request gets 402."""
    heygen_forbidden: bool = False
    """Whether every request gets 403, as after the account was suspended."""
    heygen_quota_seconds: int = 0
    """Retry-After of the 429s that `throttle` causes, then with the code quota_exceeded.

    0: they are like those of the rate limit.
    """
    heygen_concurrency: int = 10
    """Translations that run at once (HeyGen docs: 10); a further create gets 429, a batch waits."""
    heygen_write_seconds: float = 0.0
    """Loop seconds that the response to a create takes (HeyGen's client: up to 31)."""
    heygen_running: float = 0.1
    """Share of videos that are still running at their first request."""
    heygen_finish_seconds: float = 3.0
    """Maximum time until such a video completes."""
    late_link_seconds: float = 30.0
    """How long a late caption link is missing, from the first request on."""
    statuses_page: int = 100
    """Entries in one page of the v3 statuses; the rest follows by `next_token`."""

    # Both providers.
    gone_body: Literal["json", "html"] = "json"
    """The format of the response of a retired route."""
    link_seconds: float = 7 * 86400.0
    """Lifetime of a signed link."""
    caption_bytes: int = 4096
    """Approximate size of an English caption file."""
    gzip: bool = False
    """Whether file hosts compress for clients that accept it."""
    content_encoding: str | None = None
    """Content-Encoding that file hosts send with a body that is not compressed: `UTF-8`, ``."""
    answer_seconds: float = 0.0
    """Loop seconds that every response takes."""
    keepalive_seconds: float = 75.0
    """Loop seconds after which an idle connection is closed."""

    # Webhooks.
    mux_webhook_url: str = ""
    """Receiver of Mux's events, http on loopback. Empty: no events are sent."""
    heygen_webhook_url: str = ""
    """Receiver of HeyGen's events, likewise."""
    webhook_secret_mux: str = "whsec_sandbox_mux"  # noqa: S105  # a public default
    webhook_secret_heygen: str = "whsec_sandbox_heygen"  # noqa: S105  # a public default
    webhook_delay: float = 0.0
    """Time from a change to the first attempt to send its event."""
    webhook_retry: float = 5.0
    """Time from the first attempt to the second. Each wait is twice the last, for 24 h in all."""
    webhook_late_seconds: float = 5.0
    """By how much a reordered event is late."""
    webhook_names: Literal["v0", "v1"] = "v0"
    """Whether Mux's event types begin with `robots.job` or with `robots.v1.job`."""
    webhook_nested: bool | Literal["mixed"] = False
    """Whether Mux nests a job under the event's type: its documents show both. Mixed: per event."""
    webhook_outputs: bool = True
    """Whether the completed event of a Mux job contains the outputs."""
    webhook_header: Literal["heygen-signature", "signature", "x-heygen-signature"] = (
        "heygen-signature"
    )
    """The header of HeyGen's signature. `signature`: as an endpoint of the v1 API gets events,
    without an id and a time.
    """

    # Rate limits, in requests per loop second; None: no limit.
    mux_write_rate: float | None = None
    mux_read_rate: float | None = None
    heygen_rate: float | None = None
    burst: int = 5
    """Capacity of a full token bucket, in requests."""
    retry_after: Literal["seconds", "date", "absent"] = "seconds"
    """The format of Mux's Retry-After. HeyGen always sends seconds."""
    retry_after_seconds: int = 1
    """Minimum value of Retry-After."""

    # Faults.
    faults: dict[str, float] = {}
    """Shares from 0 to 1 by fault; see `FAULTS`."""
    fault_streak: int = 2
    """Maximum number of faults in a row that hit the same request or job."""
    late_create_seconds: float = 5.0
    """Delay of a create that `late_create` hits."""
    hidden_seconds: float = 2.0
    """How long `not_found_after_create` hides a new job."""
    slow_body_seconds: float = 2.0
    """Loop seconds that sending a slow body takes."""

    keep_requests: int = 1_000_000
    """Maximum number of requests that the request log keeps individually; it counts all of them."""

    def __post_init__(self) -> None:
        check_faults(self.faults)
        check_webhook_url(self.mux_webhook_url)
        check_webhook_url(self.heygen_webhook_url)
        if not self.webhook_retry > 0:
            raise ValueError(f"webhook_retry={self.webhook_retry}: must be positive")

    @classmethod
    def documented(cls, **fields: Any) -> SandboxOptions:
        """Return options with Mux's documented rate limits, and 5/s for HeyGen (undocumented)."""
        limits = {"mux_write_rate": 1.0, "mux_read_rate": 5.0, "heygen_rate": 5.0}
        return cls(**{**limits, **fields})

    def rate_limit_fields(self) -> tuple[float | None, float | None, float | None, int]:
        """Return the fields that define the token buckets."""
        return (self.mux_write_rate, self.mux_read_rate, self.heygen_rate, self.burst)

    def with_changes(self, **fields: Any) -> SandboxOptions:
        """Return these options with some fields changed, validated like JSON.

        Raises:
            ValueError: a field is unknown, has a wrong type or value, or cannot change while
                the sandbox runs (seed, epoch, speed).
        """
        fixed = {"seed", "epoch", "speed"} & fields.keys()
        if fixed:
            raise ValueError(f"cannot change while the sandbox runs: {', '.join(sorted(fixed))}")
        return msgspec.convert({**msgspec.structs.asdict(self), **fields}, SandboxOptions)
