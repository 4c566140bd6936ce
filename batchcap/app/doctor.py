"""Looks for what is wrong with the machine, the network, the keys or the output folder.

The checks run side by side, each with a time limit. None of them changes anything or creates
a job.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import anyio

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.app.checks.file_limit import check_file_limit
from batchcap.app.checks.hosts import check_host
from batchcap.app.checks.inbox import check_inbox
from batchcap.app.checks.installation import check_installation
from batchcap.app.checks.keys import check_provider_key
from batchcap.app.checks.ledger import check_ledger
from batchcap.app.checks.output_folder import check_output_folder
from batchcap.domain.errors import BatchcapError, UsageError
from batchcap.domain.settings import Settings, inbox_folder
from batchcap.providers import PROVIDERS, ProviderSettings, ProviderSpec
from batchcap.providers.registry import read_secrets
from batchcap.transport.network import Network, network_settings

TIME_LIMIT = 15.0  # seconds for each check


class Check(NamedTuple):
    """A check; `subject` is the name of its line if it takes too long."""

    subject: str
    run: Callable[[], Awaitable[list[Diagnosis]]]


async def diagnose(
    settings: Settings,
    environment: Mapping[str, str],
    providers: Mapping[str, str],
    *,
    sandbox: bool,
    now: Callable[[], float] = time.time,
) -> list[Diagnosis]:
    """Run all checks, and return what they found in a fixed order.

    `environment` is that of this machine, `providers` the one that names the providers.
    """
    return await run_checks(
        [
            *_machine_checks(settings, environment, now),
            *_provider_checks(settings, providers, now, sandbox=sandbox),
        ]
    )


async def run_checks(checks: list[Check], limit: float = TIME_LIMIT) -> list[Diagnosis]:
    """Run checks side by side; one that takes longer than `limit` seconds is a problem."""
    found: list[list[Diagnosis]] = [[] for _ in checks]

    async def run(number: int, check: Check) -> None:
        text = f"no result within {limit:g} s"
        hint = "Look for a disk or a network that does not respond."
        found[number] = [Diagnosis(check.subject, "problem", text, hint)]
        with anyio.move_on_after(limit):
            found[number] = await check.run()

    async with anyio.create_task_group() as group:
        for number, check in enumerate(checks):
            group.start_soon(run, number, check)
    return [diagnosis for diagnoses in found for diagnosis in diagnoses]


def blocking(subject: str, look: Callable[[], list[Diagnosis]]) -> Check:
    """Return a check of something that may block, such as a disk.

    It runs in a daemon thread: Python would wait for any other before it ends.
    """

    async def run() -> list[Diagnosis]:
        result: Future[list[Diagnosis]] = Future()

        def work() -> None:
            result.set_running_or_notify_cancel()
            try:
                result.set_result(look())
            except Exception as error:  # the loop raises it
                result.set_exception(error)

        threading.Thread(target=work, name=subject, daemon=True).start()
        return await asyncio.wrap_future(result)

    return Check(subject, run)


def _machine_checks(
    settings: Settings, environment: Mapping[str, str], now: Callable[[], float]
) -> list[Check]:
    folder = inbox_folder(environment)
    return [
        blocking("batchcap", check_installation),
        blocking("open files", partial(check_file_limit, settings)),
        blocking("output folder", partial(check_output_folder, settings.out)),
        blocking("ledger", partial(check_ledger, settings.out)),
        blocking("webhook inbox", lambda: check_inbox(folder, now())),
    ]


def _provider_checks(
    settings: Settings,
    environment: Mapping[str, str],
    now: Callable[[], float],
    *,
    sandbox: bool,
) -> list[Check]:
    try:
        network = network_settings(environment, settings.proxy, settings.ca_file)
    except UsageError as error:
        return [_known(Diagnosis("network", "problem", error.message, error.hint))]
    checks: list[Check] = []
    for spec in PROVIDERS.values():
        try:
            if not read_secrets([spec], environment).keys() & set(spec.credentials):
                text = f"not used: {' and '.join(spec.credentials)} not set"
                checks.append(_known(Diagnosis(spec.name, "skipped", text)))
                continue
            configured = spec.configure(environment, settings, sandbox=sandbox)
        except BatchcapError as error:  # also a secret that cannot be fetched
            checks.append(_known(Diagnosis(spec.name, "problem", error.message, error.hint)))
            continue
        checks += _checks_of(spec, configured, network, now)
    return checks


def _checks_of(
    spec: ProviderSpec, settings: ProviderSettings, network: Network, now: Callable[[], float]
) -> list[Check]:
    """Return the checks of a provider that the user uses: its hosts and its key."""
    urls = {spec.base_url: settings.base_url}
    urls |= {url: settings.other_urls[url.variable] for url in spec.other_urls}
    hosts = [
        Check(spec.name, partial(check_host, spec.name, url.variable, base, network, now))
        for url, base in urls.items()
    ]
    key = partial(check_provider_key, spec, settings, network)
    return [*hosts, Check(f"{spec.name} key", key)]


def _known(diagnosis: Diagnosis) -> Check:
    """Return a check whose result is known already."""

    async def run() -> list[Diagnosis]:
        return [diagnosis]

    return Check(diagnosis.subject, run)
