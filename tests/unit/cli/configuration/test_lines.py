"""The line of a key, in every notation of TOML."""

from __future__ import annotations

import pytest

from batchcap.cli.configuration.lines import line_of

TEXT = """\
# rate = 1
rate = [
  "rate = 2",
  "max-jobs = 3",
]
note = \"\"\"
json = true
\"\"\"
json = true
[profiles.slow]
rate = 1
[profiles]
fast.rate = 2
"very fast" = { rate = 3, json = false }
[secrets]
"TOKEN" = "x"
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("rate",), 2),
        (("json",), 9),
        (("profiles", "slow"), 10),
        (("profiles", "slow", "rate"), 11),
        (("profiles", "fast", "rate"), 13),
        (("profiles", "very fast", "json"), 14),
        (("secrets", "TOKEN"), 16),
        (("secrets",), 15),
        (("absent",), None),
        (("rate", "json"), None),
    ],
)
def test_line_of_key_is_where_its_statement_begins(path: tuple[str, ...], line: int | None) -> None:
    assert line_of(TEXT, path) == line
    assert line_of(TEXT.replace("\n", "\r\n"), path) == line
