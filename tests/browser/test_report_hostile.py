"""The HTML report of a manifest that attacks it."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from batchcap.domain.models import Row
from batchcap.reports.html import content_security_policy, message
from batchcap.reports.html import page as html_page
from batchcap.storage.ledger import open_ledger
from tests.browser.conftest import new_page
from tests.browser.pages import OpenPage, make_page
from tests.harness.runs import ledger_sql

ATTACKS = [
    "</script><img src=x onerror=alert(1)>",
    "<!--<script>alert(1)</script>",
    "<svg onload=alert(1)>",
    '"><a href="javascript:alert(1)">x</a>',
    "{{script}}{{data}}{{style}}",
    "\u202egnp.exe \u2066 abc \u200f\u061c",
    "</style><link rel=stylesheet href=http://evil.example/x.css>",
    "__proto__",
    "line\u2028break\u2029\u0085\x01\x7f",
    "very long " * 2000,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose rows have an attack in each of their texts."""
    out = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(2)>"
    rows = [
        Row(
            key=f"{attack}:{number}",
            provider="mux",
            source_id=attack,
            language=attack,
            target=attack.lower(),
            path=f"javascript:alert(3)//{attack}/../{number}.vtt",
            meta={"title": attack, attack: [attack, {attack: attack}]},
            origin=f"{attack}:{number}",
        )
        for number, attack in enumerate(ATTACKS)
    ]
    with closing(open_ledger(out, create=True)) as ledger:
        ledger.import_rows([(ATTACKS[0], rows)], skip_invalid=False)
    ledger_sql(out, "UPDATE rows SET state = 'done', bytes = 1, cues = 1 WHERE number % 2 = 0")
    sql = "UPDATE rows SET state = 'failed', code = meta, message = source_id WHERE number % 2 = 1"
    ledger_sql(out, sql)
    for attack in ATTACKS:
        ledger_sql(out, "INSERT INTO minutes VALUES (29833333, ?, 'requests', 5)", attack)
    return out


@pytest.mark.parametrize("view", ["Coverage", "List"])
def test_hostile_texts_are_shown_as_text(folder: Path, open_page: OpenPage, view: str) -> None:
    report = make_page(folder, folder.parent / "report.html")
    page = open_page(report)  # which fails if a script ran, or anything was requested
    page.get_by_text(view, exact=True).click()
    grid = page.locator(f"#{view.lower()}")
    shown = grid.locator(".name").all_text_contents()
    assert shown == ATTACKS
    assert page.locator("img, [onload], [onerror], link[rel=stylesheet]").count() == 0
    assert page.locator("script:not([type])").count() == 1
    for number, attack in enumerate(ATTACKS):
        grid.locator(f"[data-row='{number}'] .name").click()
        expect(page.locator("#details-title")).to_have_text(attack, use_inner_text=False)
        page.keyboard.press("Escape")


def test_hostile_links_stay_below_the_folder(folder: Path, open_page: OpenPage) -> None:
    page = open_page(make_page(folder, folder.parent / "report.html"))
    page.get_by_text("List", exact=True).click()
    urls = page.locator("#list a").evaluate_all("links => links.map(link => link.protocol)")
    assert urls == ["file:"] * (len(ATTACKS) // 2)


def test_page_names_no_address_and_allows_no_network(folder: Path) -> None:
    text = make_page(folder, folder.parent / "report.html").read_text(encoding="utf-8")
    without_data = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", without_data)
    assert "http" not in without_data.replace("http-equiv", "").replace("http://www.w3.org", "")
    policy = content_security_policy(live=False)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "connect-src" not in policy
    assert "unsafe" not in policy
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in text


def test_content_security_policy_stops_a_script_that_got_in(folder: Path, browser: Browser) -> None:
    """The policy is the second wall: it holds even if something was written as HTML."""
    page = new_page(browser)
    page.goto(make_page(folder, folder.parent / "report.html").as_uri())
    page.evaluate("""() => {
        document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.ran = 1'>");
        const script = document.createElement("script");
        script.textContent = "window.ran = 1";
        document.body.append(script);
    }""")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    page.context.close()


def test_lone_surrogate_is_written_as_an_escape(tmp_path: Path) -> None:
    absent = (
        "key",
        "provider",
        "source_id",
        "language",
        "path",
        "bytes",
        "cues",
        "job_id",
        "error",
    )
    row = dict.fromkeys((*absent, "started_at", "finished_at"))
    row |= {"state": "pending", "meta": {"title": "broken \ud83d </script>"}}
    text = message(rows=[row])
    assert r"broken \ud83d \u003c/script>" in text
    text.encode()
    with closing(open_ledger(tmp_path, create=True)) as ledger:
        "".join(html_page(ledger, out=Path("broken \udcff name"))).encode()
