"""The benchmarks do what they say: work that is checked, a server that is true, sound figures."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from batchcap import captions
from benchmarks import contenders, plot, table, texts
from benchmarks.__main__ import main
from benchmarks.contenders import Assignment, Contender
from benchmarks.machine import described
from benchmarks.measuring import Sample
from benchmarks.regress import judged
from benchmarks.revisions import unpacked
from benchmarks.rounds import Course, Result, run
from benchmarks.serving import Counts, Server, running
from benchmarks.workload import NotDoneError, Workload

SIZE = 2000


def test_contenders_do_the_work_beside_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["batchcap", "yardstick", "gather"]
    words = ["compare", "--provider", "heygen", "--items", "60", "--rounds", "1"]
    words += ["--caption-bytes", str(SIZE), "--contenders", *names]
    status = main([*words, "--disk", str(tmp_path), "--out", str(tmp_path / "results")])
    printed = capsys.readouterr().out
    assert status == 0
    assert all(f"\n{name} " in printed for name in names)
    record = json.loads((tmp_path / "results/compare-heygen.json").read_text())
    assert [one["name"] for one in record["results"]] == names
    for one in record["results"]:
        assert one["failure"] is None
        assert one["requests"][0]["file"] == 60
        assert one["cpu_seconds"][0] > one["start_cpu_seconds"][0] / 2 > 0
    assert _words_of((tmp_path / "results/compare-heygen.svg").read_text()).issuperset(names)
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "files of rounds are left"


def test_large_manifests_are_measured_against_their_bars(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["million", "--rows", "300", "--rounds", "1", "--seconds", "0.1", "--complete"]
    main([*words, "--disk", str(tmp_path), "--out", str(tmp_path / "results")])
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "results/million.json").read_text())["figures"]
    assert all(f"\n{one['what']} " in printed for one in figures)
    bars = {one["what"]: one["bar"] for one in figures if one["bar"] is not None}
    assert sorted(bars.values()) == [0.3, 5, 5, 10, 50, 64]
    measured = {one["what"]: one["rounds"][0] for one in figures}
    assert 0 < measured["first request, CPU"] < 5
    assert 0 < measured["callbacks, CPU, p99"] < measured["longest callback, CPU"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"], "files of rounds are left"


def test_no_room_for_a_million_files_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["million", "--rows", "1000000000000", "--complete", "--disk", str(tmp_path)]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "files want 6000000.0 GB" in capsys.readouterr().err


def test_batchcap_gets_mux_captions_from_this_server(tmp_path: Path) -> None:
    racing = [contenders.batchcap(), contenders.yardstick("asyncio")]
    results = run(_course(tmp_path, Workload("mux", 3, SIZE)), racing)
    assert [one.failure for one in results] == [None, None]
    for one in results:
        served = one.served[0].requests
        assert (served["create"], served["job"], served["file"]) == (3, 3, 3)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("true", "0 files instead of 4"),
        ("mkdir -p $1/heygen; for i in 0 1 2 3; do echo > $1/heygen/$i.vtt; done", "4 of 4 files"),
        ("echo no luck >&2; exit 7", "ended with 7"),
    ],
)
def test_contender_that_does_not_do_its_work_is_caught(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], script: str, told: str
) -> None:
    lazy = _shell("lazy", lambda work: f"set -- {work.out}; {script}")
    good = _shell("good", _written)
    lazy_one, good_one = run(_course(tmp_path, Workload("heygen", 4, SIZE), 2), [lazy, good])
    assert told in (lazy_one.failure or "")
    assert told in capsys.readouterr().err
    assert lazy_one.samples == []
    assert len(good_one.samples) == 2
    assert [row[0] for row in table.of([lazy_one, good_one])[1]] == ["good"]


def test_one_wrong_byte_is_found(tmp_path: Path) -> None:
    workload = Workload("mux", 3, SIZE)
    for name in workload.names():
        path = tmp_path / "mux" / f"{name}.vtt"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(texts.caption(name, SIZE)))
    workload.check(tmp_path)
    path.write_bytes(
        path.read_bytes().replace(b"harbour", b"Harbour").replace(b"puerto", b"Puerto")
    )
    with pytest.raises(NotDoneError, match="1 of 3 files are not what was served"):
        workload.check(tmp_path)


@pytest.mark.parametrize("size", [texts.SMALLEST, 2000, 2001, 20_000, 200_000])
def test_caption_has_its_size_and_is_whole(size: int) -> None:
    text = b"".join(texts.caption("bench-tr-0000001", size))
    assert len(text) == size
    assert captions.check(text) > 1
    assert text != b"".join(texts.caption("bench-tr-0000002", size))
    assert hashlib.sha256(text).hexdigest() == texts.digest("bench-tr-0000001", size)


@pytest.fixture(name="server")
def _server() -> Iterator[Server]:
    with running(SIZE, job_seconds=0.3, listed=150) as server:
        yield server


def test_job_is_on_the_list_until_it_has_completed(server: Server) -> None:
    about = {"asset_id": "a-1", "track_id": "a-1-en", "to_language_code": "es"}
    jobs = "/robots/v0/jobs/translate-captions"
    created = _asked(server, jobs, {"parameters": about, "passthrough": "mine"}, expected=202)
    job = created["data"]
    assert (job["status"], job["passthrough"]) == ("pending", "mine")
    query = "/robots/v0/jobs?workflow=translate-captions&limit=100&page=1&status="
    assert [one["id"] for one in _asked(server, query + "processing")["data"]] == [job["id"]]
    assert _asked(server, query + "pending")["data"] == []
    assert "outputs" not in _asked(server, f"{jobs}/{job['id']}")["data"]
    while _asked(server, query + "processing")["data"]:
        pass
    done = _asked(server, f"{jobs}/{job['id']}")["data"]
    assert done["status"] == "completed"
    link = done["outputs"]["temporary_vtt_url"].removeprefix(server.origin)
    assert _fetched(server, link) == b"".join(texts.caption("a-1.es", SIZE))


def test_translations_are_listed_asked_and_linked(server: Server) -> None:
    listed, token = [], ""
    while token is not None:
        page = _asked(server, f"/v3/video-translations?limit=100{token and '&token=' + token}")
        listed += page["data"]
        token = page.get("next_token")
    assert [one["id"] for one in listed] == [f"bench-tr-{number:07}" for number in range(150)]
    ids = "bench-tr-0000000%2Cbench-tr-0000001"
    states = _asked(server, f"/v3/video-translations/statuses?video_translation_ids={ids}")["data"]
    assert [(one["video_id"], one["status"]) for one in states] == [
        ("bench-tr-0000000", "completed"),
        ("bench-tr-0000001", "completed"),
    ]
    detail = _asked(server, "/v3/video-translations/bench-tr-0000001")["data"]
    assert detail == listed[1]
    link = detail["vtt_caption_url"].removeprefix(server.origin)
    assert hashlib.sha256(_fetched(server, link)).hexdigest() == texts.digest(detail["id"], SIZE)


def test_requests_that_come_in_pieces_or_together_are_all_answered(server: Server) -> None:
    host, port = server.origin.removeprefix("http://").split(":")
    asked = b"GET /files/a.vtt HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(asked + asked[:20])
        connection.sendall(asked[20:] + b"GET /no HTTP/1.1\r\nConnection: close\r\n\r\n")
        said = b""
        while piece := connection.recv(65536):
            said += piece
    assert said.count(b"HTTP/1.1 200 OK") == 2
    assert said.count(b"HTTP/1.1 404 Not Found") == 1
    assert server.counts().requests == {"file": 2}


def test_plots_are_well_formed() -> None:
    bars = [plot.Bar("<ours> & more", 3.0, 2.0, 4.0, "(1.00×)"), plot.Bar("other", 0.0, 0.0, 0.0)]
    assert "<ours> & more" in _words_of(plot.bars("title", "machine", "us", bars))
    lines = {"ours": [(8.0, 10.0), (1024.0, 12.0)], "other": [(8.0, 20.0)]}
    drawn = plot.lines("title", "machine", "us", [plot.Panel("by size", "bytes", lines)] * 2)
    assert {"ours", "other", "by size", "8", "1,024"} <= _words_of(drawn)


def test_regression_is_what_no_noise_explains() -> None:
    before = _result([1.0, 2.0, 1.0], api=10)
    noisy = _result([1.05, 2.1, 9.0], api=10)
    disturbed = _result([1.4, 2.9, 1.05], api=10)
    slower = _result([1.2, 2.4, 1.2], api=10)
    chatty = _result([1.0, 2.0, 1.0], api=12)
    assert [one.worse for one in judged(before, noisy, 1.10)] == [False, False, False]
    assert [one.worse for one in judged(before, disturbed, 1.10)] == [False, False, False]
    assert [one.worse for one in judged(before, slower, 1.10)] == [True, False, False]
    assert [one.worse for one in judged(before, slower, 1.25)] == [False, False, False]
    assert [one.worse for one in judged(before, chatty, 1.10)] == [False, False, True]


def test_start_up_is_told_apart_from_work() -> None:
    result = _result([1.4, 1.2, 1.3], api=10)
    result.starts = [Sample(1.0, 0.4, 1)] * 3
    assert result.marginal() == pytest.approx((1.3 - 0.4) / 9)


def test_unknown_revision_and_unknown_contender_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LookupError, match="no-such-revision"):
        unpacked("no-such-revision", tmp_path / "tree")
    words = ["regress", "no-such-revision", ".", "--disk", str(tmp_path)]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "no-such-revision" in capsys.readouterr().err


def test_missing_program_is_named() -> None:
    assert _shell("odd", _written, ("sh", "no-such-program-here")).missing() == [
        "no-such-program-here"
    ]


def test_machine_and_date_are_told(tmp_path: Path) -> None:
    about = described(tmp_path)
    assert "UTC" in about
    assert "Python 3" in about


def _course(folder: Path, workload: Workload, rounds: int = 1) -> Course:
    return Course(workload, rounds, folder, keep=True, start_up=False)


def _shell(
    name: str, script: Callable[[Assignment], str], needs: tuple[str, ...] = ()
) -> Contender:
    return Contender(name, "a test's", lambda work: ["bash", "-c", script(work)], needs)


def _written(work: Assignment) -> str:
    """The right files, without asking anybody."""
    folder = work.out / work.workload.provider
    folder.mkdir(parents=True)
    for name in work.workload.names():
        (folder / f"{name}.vtt").write_bytes(b"".join(texts.caption(name, SIZE)))
    return "true"


def _result(cpu: Sequence[float], *, api: int) -> Result:
    result = Result(_shell("one", _written), items=10)
    result.samples = [Sample(wall=1.0, cpu=one, peak=50_000_000) for one in cpu]
    result.served = [Counts({"file": 10, "job": api}, 0.1) for _ in cpu]
    return result


def _asked(server: Server, path: str, body: Any = None, *, expected: int = 200) -> Any:
    connection = HTTPConnection(server.origin.removeprefix("http://"))
    sent = None if body is None else json.dumps(body)
    connection.request("GET" if body is None else "POST", path, sent)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert (answer.status, answer.headers["Content-Type"]) == (expected, "application/json")
    return json.loads(said)


def _fetched(server: Server, path: str) -> bytes:
    connection = HTTPConnection(server.origin.removeprefix("http://"))
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/vtt")
    said = answer.read()
    connection.close()
    return said


def _words_of(svg: str) -> set[str]:
    """All texts of a plot, which is parsed as XML."""
    return {one.text or "" for one in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
