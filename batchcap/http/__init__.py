"""HTTP/1.1 as a client of few hosts and many requests needs it.

Requests ride on kept connections, one at a time; llhttp (`httptools`) reads the
answers. A client of our own for two reasons. Recovery hangs on one question that
general clients do not answer: did the request leave? Here `NotSent` says that it
surely did not, nothing is ever repeated unasked, and a create chooses a connection
that was busy a moment ago. And it costs less than half of the CPU (benchmarks/README.md).

Not here: redirects, cookies, proxies, credentials. Who needs one of them does it above.
"""

from batchcap.http.address import Address, InvalidAddress
from batchcap.http.client import Client
from batchcap.http.connection import Response
from batchcap.http.decoding import Body, decoded
from batchcap.http.failures import HttpFailure, Lost, NotSent
from batchcap.http.names import Forbidden
from batchcap.http.patience import Patience

__all__ = [
    "Address",
    "Body",
    "Client",
    "Forbidden",
    "HttpFailure",
    "InvalidAddress",
    "Lost",
    "NotSent",
    "Patience",
    "Response",
    "decoded",
]
