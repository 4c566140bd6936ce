"""Providers in memory and virtual time, without HTTP; `sandbox` is a real HTTP server instead.

A run of hours takes seconds here.

providers   both providers, as far as time and quota are concerned
api_client  a `Sender` that passes requests to such a provider
in_memory   a ledger, a key-value store and a downloader that write nothing
forecast    how long a run will take and what it will request, as a range
rehearsal   runs a scenario and returns its duration, requests and waits

Engine, rate limiter and poller are the real ones; the provider counts the requests and
refuses those above its limit. `plan` and the benchmarks use it.
"""

from batchcap.simulation.api_client import InMemorySender
from batchcap.simulation.providers import (
    InMemoryHeyGen,
    InMemoryMux,
    InMemoryProvider,
    JobLengths,
    RequestCounter,
)
from batchcap.simulation.rehearsal import Result, Scenario, rehearse

__all__ = [
    "InMemoryHeyGen",
    "InMemoryMux",
    "InMemoryProvider",
    "InMemorySender",
    "JobLengths",
    "RequestCounter",
    "Result",
    "Scenario",
    "rehearse",
]
