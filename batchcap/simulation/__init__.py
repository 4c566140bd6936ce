"""A run in seconds that would take hours: the real engine against providers in memory.

world    both providers as far as time and quota are concerned
wire     a `Sender` whose requests end in that world
books    a ledger and a downloader that keep nothing
course   the whole: what a run of so many rows under such limits comes to

Clock and limits are real to the engine: it runs on the virtual loop, paces itself as
always, and the world counts what arrives. `plan` and the benchmarks use it.
"""

from batchcap.simulation.api_client import WorldSender
from batchcap.simulation.providers import Arrivals, HeyGenWorld, JobLengths, MuxWorld, World
from batchcap.simulation.rehearsal import Course, Forecast, rehearse

__all__ = [
    "Arrivals",
    "Course",
    "Forecast",
    "HeyGenWorld",
    "JobLengths",
    "MuxWorld",
    "World",
    "WorldSender",
    "rehearse",
]
