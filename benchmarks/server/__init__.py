"""Both providers and their file hosts in one process, lean enough never to be the bottleneck.

It gives the providers' answers for captions that succeed, and nothing else: for faults,
limits and the providers' rules there is `batchcap sandbox`.

`__main__`    the process: listens, and prints its address
`routes`      the answer to each request
`connection`  HTTP/1.1 on one connection
`latency`     a relay that delays every byte, for a round trip as over a network
`process`     starts the process, and asks it what it has answered
"""

from benchmarks.server.process import Counts, Server, running_server

__all__ = ["Counts", "Server", "running_server"]
