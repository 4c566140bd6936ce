"""`batchcap manifest mux|heygen`: a manifest of what is in the account."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from batchcap.app.account_manifest import AccountManifest, Output, Walk, check_query, identity
from batchcap.app.providers import check_origins, open_providers
from batchcap.app.read_only_store import ReadOnlyStore
from batchcap.cli import log
from batchcap.cli.account_options import FILTERS, ListOptions
from batchcap.cli.account_progress import AccountProgress
from batchcap.cli.configuration.environment import environment
from batchcap.cli.options import RequestOptions
from batchcap.cli.parsing import parse_languages
from batchcap.cli.runtime import provider_environment, run_async
from batchcap.domain.account import AccountQuery
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.protocols import AccountList
from batchcap.providers import PROVIDERS, ProviderSpec
from batchcap.reports.manifest_file import Encoder, ManifestFile, ManifestStream
from batchcap.storage.ledger import open_reader


def mux(
    *,
    to: Annotated[str, Parameter(help="Target languages, like es,ja,pt-BR.")],
    from_: Annotated[str, Parameter(name="--from", help="Source language.")] = "",
    passthrough: Annotated[str, Parameter(group=FILTERS, help="A glob.")] = "",
    options: ListOptions = ListOptions(),  # noqa: B008  # frozen
    request_options: RequestOptions = RequestOptions(),  # noqa: B008  # frozen
) -> int:
    """Write a manifest of the account's assets, with their source tracks."""
    query = msgspec.structs.replace(
        options.query(),
        targets=parse_languages("--to", to),
        source_language=next(iter(parse_languages("--from", from_)), None),
        passthrough=passthrough,
    )
    return _Command(PROVIDERS["mux"], query, options, request_options).run()


def heygen(
    *,
    options: ListOptions = ListOptions(),  # noqa: B008  # frozen
    request_options: RequestOptions = RequestOptions(),  # noqa: B008  # frozen
) -> int:
    """Write a manifest of the account's translations."""
    return _Command(PROVIDERS["heygen"], options.query(), options, request_options).run()


class _Command:
    """One walk through an account."""

    def __init__(
        self,
        spec: ProviderSpec,
        query: AccountQuery,
        options: ListOptions,
        request_options: RequestOptions,
    ) -> None:
        check_query(spec, query)
        self._spec, self._query, self._options = spec, query, options
        out = options.missing_in or Path("captions")
        self._settings = request_options.settings(out, sandbox=options.sandbox)
        self._format = options.file_format()
        self._progress = AccountProgress(spec, quiet=options.quiet)

    def run(self) -> int:
        """Walk to the end, from where an earlier command stopped; returns the exit status."""
        log.set_up(verbose=False, log_file=self._options.log_file)
        with ExitStack() as stack:
            ledger = None
            if self._options.missing_in is not None:
                ledger = stack.enter_context(closing(open_reader(self._options.missing_in)))
                self._check_origin(ledger)
            manifest = self._manifest(ledger)
            try:
                walk = run_async(lambda: self._walk(manifest))
            finally:
                self._progress.end_line()
        self._progress.finished(walk, self._options.out)
        return 0

    def _check_origin(self, ledger: LedgerReader) -> None:
        """Check that the ledger of --missing-in is about this account's provider."""
        store = ReadOnlyStore(ledger, "origin.")
        check_origins(store, environment(), self._settings, sandbox=self._options.sandbox)

    def _manifest(self, ledger: LedgerReader | None) -> AccountManifest:
        assert self._spec.account is not None
        names = self._spec.account.names
        texts = frozenset(names) - self._spec.columns.names()
        return AccountManifest(
            self._spec,
            self._query,
            Encoder(self._format, names, texts),
            ledger,
            self._progress.on_page,
            self._progress.on_restart,
        )

    async def _walk(self, manifest: AccountManifest) -> Walk:
        options, name = self._options, self._spec.name
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="batchcap-"))
            environment = await stack.enter_async_context(
                provider_environment(Path(folder), sandbox=options.sandbox)
            )
            configured = self._spec.configure(environment, self._settings, sandbox=options.sandbox)
            options_of_walk = [str(options.missing_in), self._format]
            output, walk = stack.enter_context(
                self._output(identity(configured, self._spec, self._query, *options_of_walk))
            )
            providers = await stack.enter_async_context(
                open_providers(
                    self._settings,
                    walk,
                    [name],
                    environment,
                    log.observers(log.logged, self._progress.on_event),
                    sandbox=options.sandbox,
                )
            )
            account = providers[name]
            assert isinstance(account, AccountList)
            await manifest.write(account, output, walk)
            return walk

    @contextmanager
    def _output(self, identity: str) -> Iterator[tuple[Output, Walk]]:
        """Open the manifest; yields it with the walk that it continues, or a new one."""
        if self._options.is_stdout:
            yield ManifestStream(sys.stdout.write), Walk()
            return
        file = ManifestFile(Path(self._options.out), identity)
        with file.opened() as saved:
            walk = Walk() if saved is None else msgspec.convert(saved, Walk)
            if walk.cursor:
                self._progress.on_resume(walk)
            yield file, walk
