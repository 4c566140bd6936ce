"""Records that Mux would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from batchcap.manifest.messages import InvalidValue
from batchcap.providers.mux.manifest_rules import problems, replacement, terms


@pytest.mark.parametrize("value", [["x"], ["x" * 100], ["x"] * 100, "a;b"])
def test_terms_within_the_limits_are_accepted(value: Any) -> None:
    assert terms(value)


@pytest.mark.parametrize("value", [[], ["x"] * 101, ["x" * 101], [""], ["<b>"]])
def test_terms_beyond_the_limits_are_refused(value: Any) -> None:
    with pytest.raises(InvalidValue):
        terms(value)


@pytest.mark.parametrize(
    ("term", "problem"),
    [
        ("Ac\u200bme", "'Ac\\u200bme' holds the invisible character U+200B"),
        ("Acme\u00a0Inc", "U+00A0"),
        ("\ufeffAcme", "U+FEFF"),
        ("Acme\u2122", "'Acme\u2122' holds characters that Mux refuses: 'AcmeTM'?"),
        ("\uff21cme", "'Acme'?"),
    ],
)
def test_terms_with_characters_that_mux_refuses_are_refused(term: str, problem: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        terms(["good", term])
    assert problem in str(caught.value)


def test_terms_have_composed_accents() -> None:
    assert terms(["Pok\u0065\u0301mon", "\u4efb\u5929\u5802"]) == [
        "Pok\u00e9mon",
        "\u4efb\u5929\u5802",
    ]


def test_replacement_of_another_name_is_refused() -> None:
    assert replacement("replace_all") == "replace_all"
    with pytest.raises(InvalidValue, match="replace_generated"):
        replacement("replace")


@pytest.mark.parametrize(
    ("params", "targets", "column"),
    [
        ({"passthrough": "x" * 250}, ["es"], "passthrough"),
        ({"replace_existing_tracks": "replace_all", "upload_to_mux": False}, ["es"], "replace"),
        ({"track_name": "Name"}, ["es", "ja"], "track_name"),
        ({}, ["pt-BR", "pt-PT"], "to_language_code"),
        ({"from_language": "eng"}, ["en-GB"], "to_language_code"),
    ],
)
def test_problems_of_a_record_name_the_column(
    params: dict[str, Any], targets: list[str], column: str
) -> None:
    (problem,) = problems(params, targets)
    assert problem.startswith(column)


@pytest.mark.parametrize(
    ("params", "targets"),
    [
        ({"passthrough": "x" * 190}, ["es"]),
        ({"replace_existing_tracks": "fail", "upload_to_mux": False}, ["es"]),
        ({"track_name": "Name"}, ["es"]),
        ({"track_name": "Name", "upload_to_mux": False}, ["es", "ja"]),
        ({"upload_to_mux": False, "from_language": "zh"}, ["pt-BR", "pt-PT", "zh-TW"]),
        ({"from_language": "en"}, ["es", "pt-BR", "zh-Hant"]),
    ],
)
def test_problems_of_a_good_record_are_none(params: dict[str, Any], targets: list[str]) -> None:
    assert problems(params, targets) == []
