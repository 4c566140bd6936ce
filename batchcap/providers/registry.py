"""What the table of providers says about each: how to reach it, how to build it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from batchcap.interfaces import KeyValueStore, Observer, Provider
from batchcap.settings import ProviderSettings
from batchcap.transport import Api
from batchcap.webhooks.event import Webhook


class ProviderContext(msgspec.Struct, frozen=True):
    """What a provider is built from. `now` gives unix seconds."""

    api: Api
    settings: ProviderSettings
    memory: KeyValueStore
    observer: Observer
    now: Callable[[], float]


class ProviderSpec(msgspec.Struct, frozen=True):
    """One provider.

    `credentials` are the environment variables without which it cannot be used;
    `headers` makes the authenticating headers from them. `read` and `write` name
    the buckets of GETs and of creates. `webhook` is how it sends events, where it does.
    """

    name: str
    credentials: tuple[str, ...]
    base_url: tuple[str, str]
    """Environment variable and default."""
    read: str
    write: str
    headers: Callable[[Mapping[str, str]], Mapping[str, str]]
    build: Callable[[ProviderContext], Provider]
    webhook: Webhook | None = None
