"""Both providers as one real HTTP server on loopback; `simulation` has them in memory instead.

=====================  ==============================  =================================
variable               value                           serves
=====================  ==============================  =================================
MUX_BASE_URL           {url}/mux                       Robots v0, assets of the Video API
MUX_STREAM_BASE_URL    {url}/stream                    text tracks by playback id
HEYGEN_API_BASE        {url}/heygen                    v3 and v2 translations
-                      {url}/storage                   Mux's temporary VTT links (GCS)
-                      {url}/files2                    HeyGen's caption links (CloudFront)
-                      {url}/sandbox                   request log, options, clock (`control`)
MUX_WEBHOOK_SECRET     whsec_sandbox_mux               signs events sent to mux_webhook_url
HEYGEN_WEBHOOK_SECRET  whsec_sandbox_heygen            and to heygen_webhook_url
=====================  ==============================  =================================

The demo, the tests and the benchmarks use this server. It checks how batchcap behaves, and so
imports nothing of the rest of batchcap. Every id exists and is the same in every run; keywords
in an id decide how it behaves (`id_keywords`), options decide the rest (`options`).

The path of a request: `server`, a host's `route`, `rate_limits`, `faults`, the route's
handler, `response_writer`; it is recorded in the `request_log`. The path of a webhook:
`webhooks/scheduler` (when a job or video changes), `webhooks/job_events` (which event),
`webhooks/sender` (faults and attempts), `webhooks/payloads` (body and signature).
"""

from batchcap.sandbox.heygen.videos import heygen_ids
from batchcap.sandbox.id_keywords import FILE_KEYWORDS, HEYGEN_KEYWORDS, MUX_KEYWORDS
from batchcap.sandbox.mux.assets import mux_ids
from batchcap.sandbox.options import DELIVERY_FAULTS, FAULTS, SandboxOptions, parse_faults
from batchcap.sandbox.request_log import RequestLog
from batchcap.sandbox.runner import run_sandbox
from batchcap.sandbox.server import Sandbox

__all__ = [
    "DELIVERY_FAULTS",
    "FAULTS",
    "FILE_KEYWORDS",
    "HEYGEN_KEYWORDS",
    "MUX_KEYWORDS",
    "RequestLog",
    "Sandbox",
    "SandboxOptions",
    "heygen_ids",
    "mux_ids",
    "parse_faults",
    "run_sandbox",
]
