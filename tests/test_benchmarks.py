"""The benchmarks: work that is checked, a server that answers as the providers do, sound bars."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from batchcap.captions import webvtt
from benchmarks import caption_text, competitors, cpu, machine, network
from benchmarks.__main__ import COMMANDS, TABLES, main, parse
from benchmarks.bars import Bar
from benchmarks.competitors import Assignment, Competitor
from benchmarks.measurement import RunningCommand, Sample
from benchmarks.options import Workspace
from benchmarks.regress import judge as judge_revisions
from benchmarks.reporting import README, with_section
from benchmarks.result import Result
from benchmarks.revisions import unpack
from benchmarks.runner import Comparison
from benchmarks.server import Counts, Server, running_server
from benchmarks.workload import NotDoneError, Workload

SIZE = 2000


def test_cpu_competitors_do_the_same_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["batchcap", "baseline", "gather"]
    arguments = ["cpu", "--provider", "heygen", "--items", "60", "--rounds", "1"]
    arguments += ["--caption-bytes", str(SIZE), "--competitors", *names]
    main([*arguments, "--disk", str(tmp_path), "--out", str(tmp_path / "results")])
    printed = capsys.readouterr().out
    assert all(f"\n| {name} " in printed for name in names)
    assert "| CPU an item, × gather " in printed
    assert "| CPU an item, × baseline " in printed
    results = json.loads((tmp_path / "results/cpu.json").read_text())["heygen"]
    assert [result["name"] for result in results] == names
    for result in results:
        assert result["failure"] is None
        assert result["requests"][0]["file"] == 60
        assert result["cpu_seconds"][0] > result["start_cpu_seconds"][0] / 2 > 0
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "files of rounds are left"


@pytest.mark.parametrize("provider", ["mux", "heygen"])
def test_network_competitors_do_their_work_over_tls_with_latency(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], provider: str
) -> None:
    arguments = ["network", "--provider", provider, "--items", "3", "--rounds", "1"]
    arguments += ["--round-trip", "0.02", "--caption-bytes", str(SIZE), "--disk", str(tmp_path)]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "network.json").read_text())[provider]
    for result in results:
        assert f"\n| {result['name']} " in printed
        assert result["requests"][0]["file"] == 3
        only_files = result["name"] == "curl-parallel"
        assert (result["requests"][0].keys() == {"file"}) == only_files


def test_million_measures_every_figure_against_its_bar(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["million", "--rows", "300", "--rounds", "1", "--seconds", "0.1"]
    main([*arguments, "--disk", str(tmp_path), "--out", str(tmp_path / "results")])
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "results/million.json").read_text())
    assert all(f"\n| {figure['what']} " in printed for figure in figures)
    limits = {figure["what"]: figure["limit"] for figure in figures if figure["limit"]}
    assert limits == {
        "first request": 20,
        "above 10,000 rows": 64,
        "same command, all done": 5,
        "--help": 0.3,
    }
    values = {figure["what"]: figure["rounds"][0] for figure in figures}
    assert 0 < values["first request, CPU"] < 5
    assert values["peak memory"] > 10
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "files of rounds are left"


@pytest.mark.parametrize("command", ["simulate", "webhooks"])
def test_virtual_time_command_prints_table_and_bars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    main([command, "--rows", "40", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    runs = json.loads((tmp_path / f"{command}.json").read_text())
    assert all(f"\n| {name} " in printed for name in runs)
    assert "| measured |" in printed


def test_server_serves_mux_captions_to_batchcap(tmp_path: Path) -> None:
    results = _run(
        tmp_path, Workload("mux", 3, SIZE), [competitors.BATCHCAP_ASYNCIO, competitors.BASELINE]
    )
    assert [result.failure for result in results] == [None, None]
    for result in results:
        served = result.served[0].requests
        assert (served["create"], served["job"], served["file"]) == (3, 3, 3)


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("true", "0 files instead of 4"),
        ("mkdir -p $1/heygen; for i in 0 1 2 3; do echo > $1/heygen/$i.vtt; done", "4 of 4 files"),
        ("echo no luck >&2; exit 7", "ended with 7:\nno luck"),
    ],
)
def test_competitor_that_fails_is_excluded_from_the_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str, failure: str
) -> None:
    lazy = _shell("lazy", lambda work: f"set -- {work.out}; {script}")
    good = _shell("good", _write_expected_files)
    lazy_result, good_result = _run(tmp_path, Workload("heygen", 4, SIZE), [lazy, good], rounds=2)
    assert failure in (lazy_result.failure or "")
    assert failure in capsys.readouterr().err
    assert lazy_result.samples == []
    assert len(good_result.samples) == 2
    table = network.as_table([lazy_result, good_result])
    assert "| good " in table
    assert "lazy" not in table


def test_workload_check_finds_one_wrong_byte(tmp_path: Path) -> None:
    workload = Workload("mux", 3, SIZE)
    for name in workload.names():
        path = tmp_path / "mux" / f"{name}.vtt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(caption_text.caption(name, SIZE)))
    workload.check(tmp_path)
    path.write_bytes(
        path.read_bytes().replace(b"harbour", b"Harbour").replace(b"puerto", b"Puerto")
    )
    with pytest.raises(NotDoneError, match="1 of 3 files are not what was served"):
        workload.check(tmp_path)


@pytest.mark.parametrize("size", [caption_text.MIN_SIZE, 2000, 2001, 20_000, 200_000])
def test_caption_has_exact_size_and_is_valid(size: int) -> None:
    text = b"".join(caption_text.caption("bench-tr-0000001", size))
    assert len(text) == size
    assert webvtt.check(text) > 1
    assert text != b"".join(caption_text.caption("bench-tr-0000002", size))
    assert hashlib.sha256(text).hexdigest() == caption_text.digest("bench-tr-0000001", size)


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    with running_server(SIZE) as server:
        yield server


def test_server_mux_job_is_completed_and_not_listed(server: Server) -> None:
    parameters = {"asset_id": "a-1", "track_id": "a-1-en", "to_language_code": "es"}
    jobs = "/robots/v0/jobs/translate-captions"
    created = _json(server, jobs, {"parameters": parameters, "passthrough": "x"}, expected=202)
    job = created["data"]
    assert (job["status"], job["passthrough"]) == ("pending", "x")
    query = "/robots/v0/jobs?workflow=translate-captions&limit=100&page=1&status="
    assert _json(server, query + "processing")["data"] == []
    completed = _json(server, f"{jobs}/{job['id']}")["data"]
    assert completed["status"] == "completed"
    link = completed["outputs"]["temporary_vtt_url"].removeprefix(server.origin)
    assert _file(server, link) == b"".join(caption_text.caption("a-1.es", SIZE))


def test_server_heygen_translation_has_status_and_link(server: Server) -> None:
    ids = "bench-tr-0000000%2Cbench-tr-0000001"
    states = _json(server, f"/v3/video-translations/statuses?video_translation_ids={ids}")["data"]
    assert [(state["video_id"], state["status"]) for state in states] == [
        ("bench-tr-0000000", "completed"),
        ("bench-tr-0000001", "completed"),
    ]
    detail = _json(server, "/v3/video-translations/bench-tr-0000001")["data"]
    link = detail["vtt_caption_url"].removeprefix(server.origin)
    assert hashlib.sha256(_file(server, link)).hexdigest() == caption_text.digest(
        detail["id"], SIZE
    )


def test_server_heygen_list_names_other_translations_page_by_page(server: Server) -> None:
    first = _json(server, "/v3/video-translations?limit=100")
    second = _json(server, f"/v3/video-translations?limit=100&token={first['next_token']}")
    for page in (first, second):
        assert len(page["data"]) == 100
        assert all(translation["id"].startswith("other-") for translation in page["data"])
    assert second["next_token"] != first["next_token"]


def test_server_answers_split_and_pipelined_requests(server: Server) -> None:
    host, port = server.origin.removeprefix("http://").split(":")
    request = b"GET /files/a.vtt HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request + request[:20])
        connection.sendall(request[20:] + b"GET /no HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"HTTP/1.1 404 Not Found") == 1
    assert server.counts().requests == {"file": 2}


def test_server_round_trip_delays_handshakes_and_each_request(tmp_path: Path) -> None:
    """Three round trips on a new connection (TCP, TLS 1.3, request), then one each."""
    ca_file, round_trip = tmp_path / "ca.pem", 0.1
    request = b"GET /files/a.vtt HTTP/1.1\r\nHost: x\r\n\r\n"
    with running_server(SIZE, ca_file=ca_file, round_trip=round_trip) as server:
        context = ssl.create_default_context(cafile=ca_file)
        host, port = server.origin.removeprefix("https://").split(":")
        started = time.monotonic()
        with (
            socket.create_connection((host, int(port))) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            for round_trips in (3, 4):
                connection.sendall(request)
                received = b""
                while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < SIZE:
                    received += connection.recv(65536)
                assert time.monotonic() - started >= round_trips * round_trip * 0.98
        assert server.counts().requests == {"file": 2}


def test_regress_reports_only_what_noise_does_not_explain() -> None:
    before = _result([1.0, 2.0, 1.0], api=10)
    noisy = _result([1.05, 2.1, 9.0], api=10)
    disturbed = _result([1.4, 2.9, 1.05], api=10)
    slower = _result([1.2, 2.4, 1.2], api=10)
    chatty = _result([1.0, 2.0, 1.0], api=12)

    def missed(after: Result, threshold: float) -> list[bool]:
        return [bar.missed for bar in judge_revisions(before, after, threshold)]

    assert missed(noisy, 1.10) == [False, False, False]
    assert missed(disturbed, 1.10) == [False, False, False]
    assert missed(slower, 1.10) == [True, False, False]
    assert missed(slower, 1.25) == [False, False, False]
    assert missed(chatty, 1.10) == [False, False, True]


def test_marginal_cpu_excludes_start_up() -> None:
    result = _result([1.4, 1.2, 1.3], api=10)
    result.starts = [Sample(1.0, 0.4, 1)] * 3
    assert result.marginal_cpu() == pytest.approx([1.0 / 9, 0.8 / 9, 0.9 / 9])


@pytest.mark.parametrize(
    ("value", "at_best", "verdict"),
    [(0.7, None, "goal"), (0.9, None, "kept"), (1.1, 0.9, "within noise"), (1.2, 1.1, "missed")],
)
def test_bar_verdict_follows_value_limit_and_noise(
    value: float, at_best: float | None, verdict: str
) -> None:
    bar = Bar("CPU", value, 1.0, goal=0.8, at_best=at_best)
    assert (bar.verdict, bar.missed) == (verdict, verdict == "missed")


@pytest.mark.parametrize(
    ("provider", "ours", "missed"),
    [
        ("mux", 1.0, [False, False]),
        ("mux", 1.3, [True, False]),
        ("heygen", 1.3, [True, True]),
        ("mux", 1.6, [True, True]),
    ],
)
def test_cpu_is_held_to_gather_and_baseline(provider: str, ours: float, missed: list[bool]) -> None:
    results = [
        _result([ours + 0.1] * 3, name="batchcap"),
        _result([1.1] * 3, name="gather"),
        _result([0.95] * 3, name="baseline"),
    ]
    for result in results:
        result.starts = [Sample(0.1, 0.1, 1)] * 3
    assert [bar.missed for bar in cpu.judge(results, provider)] == missed


def test_command_that_failed_is_not_measured(tmp_path: Path) -> None:
    command = RunningCommand(
        [sys.executable, "-c", "raise SystemExit('why')"], {}, tmp_path / "log"
    )
    with pytest.raises(NotDoneError, match="ended with 1:\nwhy"):
        command.wait()


def test_regress_unknown_revision_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LookupError, match="no-such-revision"):
        unpack("no-such-revision", tmp_path / "tree")
    arguments = ["regress", "no-such-revision", ".", "--disk", str(tmp_path)]
    assert main([*arguments, "--out", str(tmp_path)]) == 2
    assert "no-such-revision" in capsys.readouterr().err


def test_competitor_whose_program_is_missing_is_excluded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = _shell("odd", _write_expected_files, ("sh", "no-such-program-here"))
    good = _shell("good", _write_expected_files, ("sh", "json"))
    assert competitors.available([odd, good]) == [good]
    assert "odd needs no-such-program-here" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--out", "results", "cpu"], ["regress", ".", ".", "--update-readme"]],
)
def test_invalid_command_line_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)


def test_machine_is_described_with_date_and_python(tmp_path: Path) -> None:
    about = machine.describe(tmp_path)
    assert "UTC" in about
    assert "Python 3" in about
    assert "files on" in about


def test_readme_section_is_replaced_and_nothing_else() -> None:
    document = "a\n<!-- cpu -->\nold\n<!-- end of cpu -->\nb\n"
    assert (
        with_section(document, "cpu", "new") == "a\n<!-- cpu -->\n\nnew\n\n<!-- end of cpu -->\nb\n"
    )
    with pytest.raises(LookupError, match="network"):
        with_section(document, "network", "new")


def test_readme_has_a_section_for_every_table_and_names_every_command() -> None:
    text = README.read_text()
    for name in TABLES:
        assert with_section(text, name, "new") != text
    shown = re.findall(r"^python -m benchmarks (\w[^#\n]*)", text, re.MULTILINE)
    for line in shown:
        parse(line.split())  # would exit because of an unknown option
    assert {line.split()[0] for line in shown} == set(COMMANDS)


def _run(
    folder: Path, workload: Workload, programs: Sequence[Competitor], rounds: int = 1
) -> list[Result]:
    with running_server(workload.caption_bytes) as server:
        space = Workspace(folder, keep=True)
        return Comparison(workload, rounds, server, space, start_up=False).run(programs)


def _shell(
    name: str, script: Callable[[Assignment], str], needs: tuple[str, ...] = ()
) -> Competitor:
    return Competitor(name, "a test's", lambda work: ["bash", "-c", script(work)], needs)


def _write_expected_files(work: Assignment) -> str:
    """Write the right files without a request."""
    folder = work.out / work.workload.provider
    folder.mkdir(parents=True)
    for name in work.workload.names():
        (folder / f"{name}.vtt").write_bytes(b"".join(caption_text.caption(name, SIZE)))
    return "true"


def _result(cpu_seconds: Sequence[float], *, api: int = 0, name: str = "one") -> Result:
    result = Result(_shell(name, _write_expected_files), items=10)
    result.samples = [Sample(wall=1.0, cpu=seconds, peak=50_000_000) for seconds in cpu_seconds]
    result.served = [Counts({"file": 10, "job": api}, 0.1) for _ in cpu_seconds]
    return result


def _json(server: Server, path: str, body: Any = None, *, expected: int = 200) -> Any:
    connection = HTTPConnection(server.origin.removeprefix("http://"))
    data = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, data)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    assert (response.status, response.headers["Content-Type"]) == (expected, "application/json")
    return json.loads(content)


def _file(server: Server, path: str) -> bytes:
    connection = HTTPConnection(server.origin.removeprefix("http://"))
    connection.request("GET", path)
    response = connection.getresponse()
    assert (response.status, response.headers["Content-Type"]) == (200, "text/vtt")
    content = response.read()
    connection.close()
    return content
