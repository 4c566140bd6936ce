"""Writes the table of all options into docs/configuration.md.

`python -m tests.option_table` replaces the table; `test_option_table.py` checks that it is
current.
"""

from __future__ import annotations

import re
from pathlib import Path

from batchcap.cli.app import app
from batchcap.cli.configuration.options import all_options

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
TABLE = re.compile(r"(?<=<!-- options -->\n).*?(?=<!-- end of options -->)", re.DOTALL)


def table() -> str:
    """Return the key, variable, kind, default and meaning of every option, in Markdown."""
    lines = ["| key | variable | takes | default | |", "| --- | --- | --- | --- | --- |"]
    for option in all_options(app).values():
        default = f"`{option.default}`" if option.default else ""
        help_ = option.help.replace("|", "\\|").replace("*", "\\*")
        cells = (f"`{option.key}`", f"`{option.variable}`", option.kind, default, help_)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text()))
