"""Commands in messages name the folder that the user works in."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchcap.cli.app import main
from batchcap.cli.command_lines import command_line, complete_commands, hint_for


@pytest.mark.parametrize(
    ("text", "out", "sandbox", "expected"),
    [
        ("Free space, then: batchcap resume", "captions", False, None),
        ("then: batchcap resume", "a b", False, "then: batchcap resume -o 'a b'"),
        ("then: batchcap resume", "captions", True, "then: batchcap resume --sandbox"),
        (
            "batchcap resume --retry-failed; batchcap status shows it",
            "x",
            True,
            "batchcap resume -o x --sandbox --retry-failed; batchcap status -o x shows it",
        ),
        ("batchcap resume -o x", "x", False, None),
        ("batchcap resume --sandbox", "captions", True, None),
        ("batchcap report", "x", True, "batchcap report --dir x"),
        ("pip install 'batchcap[fast]'; batchcap --help; resume", "x", True, None),
    ],
)
def test_commands_in_a_message_are_completed(
    text: str, out: str, sandbox: bool, expected: str | None
) -> None:
    assert complete_commands(text, Path(out), sandbox=sandbox) == (expected or text)


def test_command_line_for_the_default_folder_is_short() -> None:
    resume = command_line("resume", Path("captions"), "--retry-failed", sandbox=False)
    assert resume == "batchcap resume --retry-failed"


def test_hint_for_a_command_that_resume_does_not_continue_names_it_itself() -> None:
    hint = "Check the key, then: batchcap resume"
    assert hint_for("audit", hint) == "Check the key, then: the same command again"
    assert hint_for("run", hint) == hint


def test_configuration_of_one_command_is_not_left_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("")
    assert main(["--config", str(tmp_path / "own.toml"), "status", "-o", str(tmp_path)]) == 2
    assert command_line("resume", Path("captions"), sandbox=False) == "batchcap resume"
