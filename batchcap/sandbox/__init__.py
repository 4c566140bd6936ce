"""Both providers' APIs and their file hosts as one HTTP server on loopback.

=====================  ==============================  =================================
variable               value                           serves
=====================  ==============================  =================================
MUX_BASE_URL           {url}/mux                       Robots v0, assets of the Video API
MUX_STREAM_BASE_URL    {url}/stream                    text tracks by playback id
HEYGEN_API_BASE        {url}/heygen                    v3 and v2 translations
-                      {url}/storage                   Mux's temporary VTT links (GCS)
-                      {url}/files2                    HeyGen's caption links (CloudFront)
-                      {url}/sandbox                   journal, options, clock (`control`)
MUX_WEBHOOK_SECRET     whsec_sandbox_mux               signs what goes to mux_webhook_url
HEYGEN_WEBHOOK_SECRET  whsec_sandbox_heygen            and to heygen_webhook_url
=====================  ==============================  =================================

The demo, the tests and the benchmarks use this one server. It knows nothing of
the engine that it judges. Every id exists and is the same in every run; words in
an id decide what becomes of it (`words`), options decide the rest (`options`).
A request goes: `server` -> a host's `route` -> `limits` -> `faults` -> its handler
-> `delivery`, and is noted in the `journal`. A webhook goes: `agenda` (when a job or
video changes) -> `notices` (what to tell) -> `webhooks` (faults, attempts) -> `envelopes`
(body and signature).
"""

from batchcap.sandbox.heygen.videos import heygen_ids
from batchcap.sandbox.id_keywords import FILE_WORDS, HEYGEN_WORDS, MUX_WORDS
from batchcap.sandbox.mux.assets import mux_ids
from batchcap.sandbox.options import DELIVERY_FAULTS, FAULTS, SandboxOptions, parse_faults
from batchcap.sandbox.request_log import RequestLog
from batchcap.sandbox.serve import serve
from batchcap.sandbox.server import Sandbox

__all__ = [
    "DELIVERY_FAULTS",
    "FAULTS",
    "FILE_WORDS",
    "HEYGEN_WORDS",
    "MUX_WORDS",
    "RequestLog",
    "Sandbox",
    "SandboxOptions",
    "heygen_ids",
    "mux_ids",
    "parse_faults",
    "serve",
]
