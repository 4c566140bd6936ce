"""A secret from a file, as containers have it, or from a command, as password managers have it.

No message holds any of a secret: a command's output is never shown, its standard error only
if it fails, and without what it also wrote to its output.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from batchcap.domain.errors import FatalError

TIME_LIMIT = 60.0  # seconds that a command may take, with a person who types a password
MAX_SIZE = 64 * 1024  # bytes of a secret
_MAX_SHOWN = 2000  # characters of standard error


def secret_from_file(place: str, path: Path) -> str:
    """Read a secret, without the white space around it; `place` is what names the file.

    Raises:
        FatalError: The file cannot be read, is empty, too large or not text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise FatalError(
            f"{place}: cannot read {path}: {error.strerror or error}",
            hint="Correct the path or its permissions, then: batchcap resume",
        ) from None
    return _text(f"{place}: {path}", content)


def secret_from_command(
    place: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    time_limit: float = TIME_LIMIT,
) -> str:
    """Run a command, without a shell, and return its output without the white space around it.

    It can ask for a password at the terminal; its standard input is empty.

    Raises:
        FatalError: It cannot be started, fails, takes too long, or prints no usable text.
    """
    name = os.path.basename(command[0])  # noqa: PTH119  # a Path would change "./x"
    try:
        result = subprocess.run(  # noqa: S603  # the user's own command
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=time_limit,
            check=False,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it cannot be started"
        raise FatalError(f"{place}: {command[0]}: {reason}") from None
    except subprocess.TimeoutExpired:
        raise FatalError(
            f"{place}: {name} took longer than {time_limit:.0f} s, and was ended",
            hint="Unlock it first, then: batchcap resume",
        ) from None
    if result.returncode:
        ending = f"exited with status {result.returncode}"
        if result.returncode < 0:
            ending = f"was ended by signal {-result.returncode}"
        raise FatalError(f"{place}: {name} {ending}{_shown(result.stderr, result.stdout)}")
    return _text(f"{place}: the output of {name}", result.stdout)


def _shown(stderr: bytes, stdout: bytes) -> str:
    """Return what a command wrote to standard error, without what is in its output too."""
    text = stderr.decode("utf-8", "replace").strip()
    for word in stdout.decode("utf-8", "replace").split():
        text = text.replace(word, "***")
    return f": {text[-_MAX_SHOWN:]}" if text else ""


def _text(subject: str, content: bytes) -> str:
    """Return a secret as text.

    Raises:
        FatalError: It is empty, too large or not UTF-8.
    """
    try:
        text = content.decode().strip()
    except UnicodeDecodeError:
        raise FatalError(f"{subject} is not text") from None
    if not text or len(content) > MAX_SIZE:
        raise FatalError(f"{subject} is {'larger than 64 KiB' if text else 'empty'}")
    return text
