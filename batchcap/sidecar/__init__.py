"""A process beside the loop's that writes: the files and the ledger.

A thread for each disk would do, but for Python's lock: every call of the system
ends with a wait for it, and hands it to and fro with the loop. That took a fifth
of the CPU of a caption. A process of its own has its own lock.

executor  the run's side: a process, and an `Executor` for each of its threads
frames    what the two say to each other
process   the other side

It holds the run's lock (`ledger.lock`) too: a run that was killed has ended when
what its sidecar had in hand is on disk, and not before.
"""

from signal import SIGHUP, SIGINT, SIGTERM

SIGNALS = {SIGHUP, SIGINT, SIGTERM}
"""The run's business: it blocks them while it starts the sidecar, which ignores them."""
