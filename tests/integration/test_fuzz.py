"""Arbitrary bytes as a manifest or as a response raise only batchcap's own errors.

Hypothesis finds the shapes, and a mutator with a seed the volume: some thousands
here, a hundred thousand with `pytest -m nightly`.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchcap.domain.account import AccountQuery
from batchcap.domain.errors import BatchcapError
from batchcap.domain.models import InvalidRow, Job, JobState, Row, RowHistory
from batchcap.domain.protocols import AccountList, JobControl
from batchcap.domain.settings import Settings
from batchcap.manifest import ManifestOptions, read
from batchcap.providers import PROVIDERS, ProviderContext
from batchcap.reports.manifest_file import FORMATS, Encoder
from batchcap.simulation.in_memory import InMemoryStore
from batchcap.transport.api_client import Api
from batchcap.transport.response import ApiResponse
from tests.harness.clock import now, on_virtual_time
from tests.harness.observers import Recorder
from tests.harness.provider import start_job
from tests.harness.rows import COLUMNS as PROVIDER_COLUMNS
from tests.harness.rows import heygen_row, mux_row

MANIFESTS = Path(__file__).parents[2] / "manifests"
OPTIONS = [
    ManifestOptions(),
    ManifestOptions(to=("es", "ja"), from_language="en", name="{title}/{key}.{language}.vtt"),
]
ODD = [
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r",
    b'"',
    b"'",
    b",",
    b";",
    b"\t",
    b"\n",
    b"[" * 2000,
    b'{"a":' * 300,
    b"1e999",
    b"-0",
    b"9" * 400,
    b"\\ud800",
    b"null",
    b"true",
    b"../",
    b"{source_id}",
    b"\x1b[2J",
    "\u2028\u202e\u00ad".encode(),
    b"=cmd|'/c calc'!A0",
]


def samples() -> dict[str, bytes]:
    """Return small manifests of each format, including those of the repository, by name."""
    manifests = {path.name: b"".join(path.read_bytes().splitlines(True)[:20])
             for path in MANIFESTS.iterdir() if path.suffix in {".csv", ".jsonl"}}  # fmt: skip
    manifests["items.json"] = (MANIFESTS / "items.json").read_bytes()
    manifests["plain"] = b"asset_id;to_language_code\na;es\nb;de\n"
    manifests["wide.csv"] = "asset_id,to_language_code\na,es\n".encode("utf-16")
    manifests["quoted.csv"] = b'asset_id,to_language_code,title\n"a","es;de","x, ""y""\nz"\n'
    return manifests


def mutated(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """Return the sample with one to four random changes."""
    mutant = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(mutant) + 1)
        end = min(len(mutant), at + dice.randrange(1, 40))
        match dice.randrange(6):
            case 0:
                mutant[at:end] = b""
            case 1:
                mutant[at:at] = dice.choice(ODD)
            case 2:
                mutant[at:end] = bytes(dice.randrange(256) for _ in range(end - at))
            case 3:
                mutant[at:at] = mutant[at:end] * dice.randrange(1, 5)
            case 4:
                start = dice.randrange(len(other) + 1)
                mutant[at:end] = other[start : start + 60]
            case _:
                mutant = mutant[:at]
    return bytes(mutant)


# Manifests


def assert_read(path: Path, data: bytes, options: ManifestOptions) -> None:
    path.write_bytes(data)
    try:
        rows = list(read(str(path), options, PROVIDER_COLUMNS))
    except BatchcapError as error:
        assert error.message
        return
    assert rows, "neither a row nor a problem"
    for row in rows:
        if isinstance(row, InvalidRow):
            assert row.line >= 1
            assert row.message
            assert row.message.isprintable(), ascii(row.message)
        else:
            assert_sound(row)


def assert_sound(row: Row) -> None:
    parts = row.path.split("/")
    assert not row.path.startswith("/")
    assert not {"", ".."} & set(parts)
    assert "\0" not in row.path
    assert "\n" not in row.key
    orjson.dumps([row.params, row.meta, row.key])


def fuzz_manifests(folder: Path, count: int, seed: int) -> None:
    dice, manifests = random.Random(seed), samples()
    names = sorted(manifests)
    for number in range(count):
        name = dice.choice(names)
        data = mutated(manifests[name], manifests[dice.choice(names)], dice)
        try:
            assert_read(folder / name, data, OPTIONS[number % 2])
        except Exception as error:
            raise AssertionError(f"seed {seed}, {name}, {data!r}") from error


@pytest.mark.parametrize("seed", range(4))
def test_manifest_mutated_gives_rows_and_problems(tmp_path: Path, seed: int) -> None:
    fuzz_manifests(tmp_path, 600, seed)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(100, 150))
def test_parsers_with_100_000_mutated_inputs_never_crash(tmp_path: Path, seed: int) -> None:
    fuzz_manifests(tmp_path, 1000, seed)
    fuzz_answers(1000, seed)


MANY = settings(
    settings.default,
    max_examples=2 * settings().max_examples,
    suppress_health_check=list(HealthCheck),
)
"""Twice as many examples as the profile says, which is many by night."""

HEADERS = st.sampled_from([b"asset_id,to_language_code\n", b"video_translate_id,name\n", b"", b"["])
EXTENSIONS = st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ""])


@MANY
@example(header=b"", body=b"\x1c", extension=".jsonl")  # white space, but not to JSON
@given(header=HEADERS, body=st.binary(max_size=300), extension=EXTENSIONS)
def test_manifest_of_any_bytes_gives_rows_and_problems(
    tmp_path: Path, header: bytes, body: bytes, extension: str
) -> None:
    assert_read(tmp_path / f"m{extension}", header + body, OPTIONS[0])


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
COLUMNS = st.sampled_from(
    ["asset_id", "video_translate_id", "to_language_code", "provider", "key", "name", "language",
     "track_id", "never_translate", "upload_to_mux", "passthrough", "title", ""]
)  # fmt: skip


@MANY
@given(items=st.lists(st.dictionaries(COLUMNS, ANY) | ANY, max_size=4), whole=st.booleans())
def test_manifest_of_any_json_gives_rows_and_problems(
    tmp_path: Path, items: list[Any], whole: bool
) -> None:
    lines = [orjson.dumps(item) for item in items]
    data = b"[" + b",".join(lines) + b"]" if whole else b"\n".join(lines)
    assert_read(tmp_path / ("m.json" if whole else "m.jsonl"), data, OPTIONS[1])


# Answers


class Canned:
    """An `Api` that returns the same response to every request."""

    read_rate = None

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.answer = ApiResponse(status, headers, body)

    async def get(self, *_: object, **__: object) -> ApiResponse:
        return self.answer

    @asynccontextmanager
    async def send_slot(self, *_: object, **__: object) -> AsyncIterator[Canned]:
        yield self

    async def post(self, *_: object) -> ApiResponse:
        return self.answer

    async def delete(self, *_: object, **__: object) -> ApiResponse:
        return self.answer


ROWS: Mapping[str, list[Row]] = {
    "mux": [mux_row("film", track_id="t"), mux_row("film", from_language="en")],
    "heygen": [heygen_row("tr")],
}
STATUSES = (200, 200, 200, 200, 202, 204, 302, 400, 401, 402, 403, 404, 409, 410, 422, 451, 599)

GOOD: list[Any] = [
    {"data": {"id": "tr", "status": "completed", "vtt_caption_url": "https://f.example/x"}},
    {"data": [{"video_id": "tr", "status": "failed", "error": {"message": "no"}}]},
    {"data": {"caption_url": "https://f.example/x"}, "error": None},
    {"data": [{"id": "j1", "status": "processing"}], "total_row_count": 1, "next_token": "t"},
    {
        "data": {
            "id": "j1",
            "status": "completed",
            "units_consumed": 3,
            "passthrough": '{"batchcap": "x"}',
            "parameters": {"asset_id": "film", "track_id": "t", "to_language_code": "es"},
            "outputs": {"temporary_vtt_url": "https://f.example/x", "uploaded_track_id": "u"},
            "errors": [{"type": "a", "message": "b", "retryable": True}],
        }
    },
    {
        "data": {
            "id": "film",
            "tracks": [
                {
                    "id": "t",
                    "type": "text",
                    "language_code": "en",
                    "status": "ready",
                    "text_source": "uploaded",
                },
                {"id": "u", "type": "text", "language_code": "es", "status": "preparing"},
            ],
            "playback_ids": [{"id": "p", "policy": "public"}],
        }
    },
    {"error": {"type": "not_found", "messages": ["x", "y"]}},
    {
        "data": [
            {
                "id": "film",
                "created_at": "1760000000",
                "duration": 12.5,
                "meta": {"title": "The film"},
                "passthrough": "show-1",
                "tracks": [
                    {"id": "t", "type": "text", "language_code": "en", "status": "ready"},
                ],
                "playback_ids": [{"id": "p", "policy": "public"}],
            }
        ],
        "next_cursor": "c",
    },
    {
        "data": [
            {
                "id": "tr",
                "title": "The clip",
                "status": "completed",
                "output_language": "Spanish (Spain)",
                "created_at": 1760000000,
                "vtt_caption_url": "https://f.example/x",
            }
        ],
        "next_token": "t",
    },
]
QUERY = AccountQuery(targets=("es", "ja"), title="*", created_after=0.0)


async def use_provider(name: str, canned: Canned) -> None:
    """Call each method of a provider; it may raise only errors of batchcap."""
    settings = PROVIDERS[name].configure({}, Settings(out=Path()), sandbox=False)
    provider = PROVIDERS[name].build(
        ProviderContext(cast(Api, canned), settings, InMemoryStore(), Recorder(), now)
    )
    reported: list[Job] = []

    async def linked(row: Row) -> object:
        job = await provider.get_job(row, "j1")
        assert_job(job)
        completed = Job(id="j1", state=JobState.COMPLETED, link=job.link, track="u")
        return await provider.get_download_url(row, completed, [job.link or ""])

    for row in ROWS[name]:
        facts = RowHistory(intent_at=now())
        asks: list[Coroutine[Any, Any, object]] = [
            start_job(provider, row),
            linked(row),
            provider.find_existing_job(row, facts, now()),
            provider.poll(["j1"], reported.append),
            provider.poll([f"j{n}" for n in range(120)], reported.append),
        ]
        if isinstance(provider, AccountList):
            asks.append(write_page(name, provider))
        if isinstance(provider, JobControl):
            asks += [provider.cancel_job(row, "j1"), provider.remove_track(row, "j1")]
        for ask in asks:
            await assert_ours(ask)
    for job in reported:
        assert_job(job)


async def write_page(name: str, account: AccountList) -> None:
    """List a page, and write it in every format of a manifest."""
    page = await account.list_account("", QUERY)
    assert isinstance(page.cursor, str)
    columns = PROVIDERS[name].account
    assert columns is not None
    for format_ in FORMATS:
        records = [{**item.cells, "id": item.source_id} for item in page.items]
        Encoder(format_, ("id", *columns.names), frozenset()).encode(records, are_first=True)


async def assert_ours(ask: Coroutine[Any, Any, object]) -> None:
    try:
        await ask
    except BatchcapError as error:
        assert error.message.isprintable(), ascii(error.message)


def assert_job(job: Job) -> None:
    """Check that the fields of a job have their types and that its text is printable."""
    assert job.id is None or isinstance(job.id, str)
    assert isinstance(job.state, JobState)
    assert job.link is None or isinstance(job.link, str)
    assert job.track is None or isinstance(job.track, str)
    assert isinstance(job.units, int)
    assert 0 <= job.units < 2**63
    if job.failure is not None:
        assert job.failure.message.isprintable()


WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    1e308,
    2**63,
    "",
    "x",
    "\x1b[2J\n",
    [],
    {},
    [[]],
    [None],
    {"": 0},
]


def with_odd_values(good: Any, dice: random.Random) -> Any:
    """Return a valid document with some values of another type, missing or repeated."""
    if dice.random() < 0.08:
        return dice.choice(WRONG)
    if isinstance(good, dict):
        pairs = [
            (key, with_odd_values(value, dice))
            for key, value in good.items()
            if dice.random() > 0.04
        ]
        return dict(pairs)
    if isinstance(good, list):
        return [
            with_odd_values(value, dice)
            for value in good
            for _ in range(dice.choice((1, 1, 1, 0, 2)))
        ]
    return good


def fuzz_answers(count: int, seed: int) -> None:
    dice = random.Random(seed)
    documents = [orjson.dumps(document) for document in GOOD]

    async def all_of_them() -> None:
        for number in range(count):
            body = mutated(dice.choice(documents), dice.choice(documents), dice)
            if number % 4:
                body = orjson.dumps(with_odd_values(dice.choice(GOOD), dice))
            canned = Canned(
                dice.choice(STATUSES), body, {"X-Request-Id": body[:20].decode("latin1")}
            )
            name = ("mux", "heygen")[number % 2]
            try:
                await use_provider(name, canned)
            except Exception as error:
                message = f"seed {seed}, {name}, {canned.answer.status}, {body!r}"
                raise AssertionError(message) from error

    on_virtual_time(all_of_them())


@pytest.mark.parametrize("seed", range(4))
def test_response_mutated_is_read_or_refused(seed: int) -> None:
    fuzz_answers(600, seed)


def misshapen(good: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a valid document with some values replaced by arbitrary ones."""
    if isinstance(good, dict):
        fields = {key: st.one_of(misshapen(value), ANY) for key, value in good.items()}
        return st.fixed_dictionaries({}, optional=fields)
    if isinstance(good, list):
        return st.lists(st.one_of(*map(misshapen, good), ANY), max_size=3)
    return st.just(good)


@MANY
@given(
    document=st.one_of(*map(misshapen, GOOD)),
    status=st.sampled_from(STATUSES),
    name=st.sampled_from(sorted(PROVIDERS)),
)
def test_response_misshapen_is_read_or_refused(document: Any, status: int, name: str) -> None:
    canned = Canned(status, orjson.dumps(document), {})
    on_virtual_time(use_provider(name, canned))
