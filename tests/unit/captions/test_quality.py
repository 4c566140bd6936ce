"""What is found in captions, each finding by a caption that has it and one that has not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchcap.captions.quality import Checks, counts, findings
from batchcap.captions.webvtt import Cue, cues
from batchcap.domain.quality import ERRORS, Finding

GOOD = [Cue(1000, 3000, "Buenos días."), Cue(4100, 6000, "Otra línea,\nmás corta.")]
SOURCE = [Cue(1000, 3000, "Good morning."), Cue(4100, 6000, "Another line,\nand shorter.")]
SPANISH = Checks(language="es", duration=6000, source=SOURCE)
JAPANESE = Checks(language="ja")
ARABIC = Checks(language="ar", rules="none")
NO_RULES = Checks(rules="none")
BBC = Checks(rules="bbc")
TERMS = Checks(source=[Cue(0, 2000, "Ask Acme\nCloud.")], terms=("Acme Cloud", "Other"))


def kinds(given_cues: list[Cue], checks: Checks = NO_RULES) -> list[str]:
    return list(counts(findings(given_cues, checks)))


def cue(text: str, start: int = 0, end: int = 2000) -> list[Cue]:
    return [Cue(start, end, text)]


@pytest.mark.parametrize(
    "checks", [SPANISH, Checks(language="es"), BBC, NO_RULES, Checks(language="x-unknown")]
)
def test_findings_of_good_captions_are_none(checks: Checks) -> None:
    assert findings(GOOD, checks) == []


BAD = [
    ("no_cues", [], NO_RULES),
    ("zero_length", cue("x", 5, 5), NO_RULES),
    ("reversed", cue("x", 2000, 1000), NO_RULES),
    ("out_of_order", cue("x", 5000, 6000) + cue("y"), NO_RULES),
    ("overlap", cue("x") + cue("y", 1999, 4000), NO_RULES),
    ("overlap", cue("x", 0, 9000) + cue("y", 9000, 9500) + cue("z", 9400, 9900), NO_RULES),
    ("short_gap", cue("x") + cue("y", 2065, 4000), Checks()),
    ("short_gap", cue("x") + cue("y", 2999, 4000), BBC),
    ("long_gap", cue("x") + cue("y", 122_001, 124_000), NO_RULES),
    ("too_short", cue("x", 0, 832), Checks()),
    ("too_long", cue("x", 0, 7001), Checks()),
    ("too_fast", cue("x" * 18, 0, 1000), Checks()),
    ("too_fast", cue("x" * 21, 0, 1000), Checks(language="en-US")),
    ("too_fast", cue("日本語です", 0, 1000), JAPANESE),
    ("too_fast", cue("one two three four", 0, 1199), BBC),
    ("long_line", cue("x" * 43, 0, 6000), Checks()),
    ("long_line", cue("x" * 38, 0, 6000), BBC),
    ("long_line", cue("日" * 14, 0, 7000), JAPANESE),
    ("many_lines", cue("a\nb\nc"), BBC),
    ("empty", cue(""), NO_RULES),
    ("empty", cue("<i> </i>&nbsp;"), NO_RULES),
    ("repeated", cue("x") + cue("<b>x</b>", 2000, 4000), NO_RULES),
    ("wrong_script", cue("Доброе утро"), Checks(language="es", rules="none")),
    ("wrong_script", cue("Good morning"), Checks(language="ru", rules="none")),
    ("wrong_script", cue("안녕하세요"), Checks(language="ja", rules="none")),
    ("wrong_script", cue("Добро јутро"), Checks(language="sr_latn", rules="none")),
    ("control_character", cue("a\x07b"), NO_RULES),
    ("control_character", cue("a\x85b"), NO_RULES),
    ("replacement_character", cue("a\ufffdb"), NO_RULES),
    ("direction_mark", cue("\u202bשלום"), NO_RULES),
    ("direction_mark", cue("\u2067a\nb\u2069"), ARABIC),
    ("direction_mark", cue("a\u200e"), Checks(language="es", rules="none")),
    ("unclosed_markup", cue("<i>a"), NO_RULES),
    ("unclosed_markup", cue("a</b>"), NO_RULES),
    ("unclosed_markup", cue("<b><i>a</b></i>"), NO_RULES),
    ("unclosed_markup", cue("a <b"), NO_RULES),
    ("unclosed_markup", cue("a <v Ann>b"), NO_RULES),
    ("unknown_markup", cue("<font color=red>a</font>"), NO_RULES),
    ("begins_late", cue("x", 60_000, 62_000), Checks(rules="none", duration=90_000)),
    ("ends_early", cue("x"), Checks(rules="none", duration=90_000)),
    ("beyond_end", cue("x", 0, 91_001), Checks(rules="none", duration=90_000)),
    ("untranslated", SOURCE, Checks(rules="none", source=SOURCE)),
    ("cue_count", GOOD[:1], Checks(rules="none", source=SOURCE)),
    ("cue_times", cue("x", 1, 3000), Checks(rules="none", source=cue("y"))),
    ("lost_term", cue("Pregunte a ACME"), TERMS),
]


@pytest.mark.parametrize(("kind", "given_cues", "checks"), BAD)
def test_findings_of_bad_captions_are_of_the_kind(
    kind: str, given_cues: list[Cue], checks: Checks
) -> None:
    assert kinds(given_cues, checks) == [kind]


def test_findings_of_every_kind_have_a_case() -> None:
    assert {kind for kind, _, _ in BAD} | {Finding.NOT_WEBVTT, Finding.NOT_UTF_8} == {*Finding}
    assert set(Finding) >= ERRORS


@pytest.mark.parametrize(
    ("given_cues", "checks"),
    [
        (cue("x" * 42, 0, 3000), Checks()),
        (cue("x") + cue("y", 2066, 4000), Checks()),
        (cue("x") + cue("y", 2000, 4000), BBC),
        (cue("x") + cue("y", 3000, 4000), BBC),
        (cue("one two three four", 0, 1200), BBC),
        (cue("日本語で", 0, 1000), JAPANESE),
        (cue("iPhone です", 0, 3000), JAPANESE),
        (cue("안녕하세요 여러분", 0, 1000), Checks(language="ko")),
        (cue("e\u0301" * 34), Checks()),  # 34 characters of two code points
        (cue("👨‍👩‍👧" * 34), Checks()),
        (cue("किताब" * 11), Checks(language="hi")),
        (cue("\u202bשלום\u202c \u2067x\u2069"), Checks(language="he", rules="none")),
        (cue("שלום!\u200f"), Checks(language="he")),
        (cue("<v Ann>Hi <i>all</i>"), NO_RULES),
        (cue("<ruby>漢<rt>かん</ruby> <00:00:01.000>x <c.loud>y</c>"), NO_RULES),
        (cue("a &lt; b &amp;&amp; c > d"), NO_RULES),
        (cue("Dobro jutro"), Checks(language="sr", rules="none")),
        (cue("Добро јутро"), Checks(language="sr", rules="none")),
        (cue("Ω, π: 10 µ"), Checks(language="es")),
        (cue("Ana"), Checks(rules="none", source=cue("Ana"))),
        (cue("Acme Cloud fragen"), TERMS),
    ],
)
def test_findings_of_captions_at_the_limits_are_none(given_cues: list[Cue], checks: Checks) -> None:
    assert findings(given_cues, checks) == []


def test_finding_names_the_cue_and_what_is_there() -> None:
    (found,) = findings([*GOOD, Cue(6100, 6600, "Buenas.")], Checks(language="es"))
    assert (found.kind, found.cue, found.at) == (Finding.TOO_SHORT, 3, 6100)
    assert found.detail == "0.5 s long"


def test_findings_of_captions_in_parts_of_the_same_language_differ_by_rules() -> None:
    traditional, simplified = (Checks(language=tag) for tag in ("zh-Hant-TW", "zh_cn"))
    text = cue("这是一条简体中文字幕", 0, 1000)
    assert kinds(text, simplified) == kinds(text, traditional) == ["too_fast"]


ANY_CUES = st.lists(
    st.builds(
        Cue,
        st.integers(0, 10**7),
        st.integers(0, 10**7),
        st.text(max_size=60)
        | st.from_regex(r"(<[/a-z. ]*>|&[a-z#0-9]*;|[a-z\n])*", fullmatch=True),
    ),
    max_size=6,
)
ANY_CHECKS = st.builds(
    Checks,
    rules=st.sampled_from(["netflix", "bbc", "none"]),
    language=st.sampled_from([None, "es", "ja", "ar", "zh-TW", "ru", "hi", "xx", "Klingon!", ""]),
    duration=st.none() | st.integers(1, 10**7),
    source=st.none() | ANY_CUES,
    terms=st.lists(st.text(min_size=1, max_size=5), max_size=2).map(tuple),
)


@given(ANY_CUES, ANY_CHECKS)
def test_findings_of_any_cues_name_a_cue_that_is_there(
    given_cues: list[Cue], checks: Checks
) -> None:
    found = findings(given_cues, checks)
    assert all(one.cue is None or given_cues[one.cue - 1].start == one.at for one in found)
    assert sum(counts(found).values()) == len(found)
    assert list(counts(found)) == [kind for kind in Finding if kind in {one.kind for one in found}]


@given(st.binary(max_size=200))
def test_findings_of_any_file_never_crash(noise: bytes) -> None:
    data = b"WEBVTT\n\n00:01.000 --> 00:02.000\n" + noise + b"\n\n00:03.000 --> 00:04.000\nx"
    findings(list(cues(data)), Checks(language="es", duration=5000, source=GOOD, terms=("x",)))
