"""Development tasks: `nox` runs lint, types and tests, and `nox --list` shows the others."""

from __future__ import annotations

import sys

import nox

nox.options.default_venv_backend = "none"  # run in the environment that nox is installed in
nox.options.sessions = ["lint", "types", "tests"]


def run_module(session: nox.Session, module: str, *arguments: str) -> None:
    """Run `python -m module`, so that the tools need not be on the PATH."""
    session.run(sys.executable, "-m", module, *arguments, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    run_module(session, "ruff", "check")
    run_module(session, "ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    run_module(session, "mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    run_module(session, "pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Run the tests that take hours."""
    run_module(session, "pytest", "-m", "nightly", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure the coverage of lines and branches, and fail if it has fallen.

    Measures what runs in the test process: `tests/system` starts the command itself, and so
    adds nothing. A session of its own, because up to Python 3.11 it doubles the run time.
    """
    run_module(
        session, "pytest", "-n", "2", "--cov", "--cov-report", "term:skip-covered",
        "--ignore", "tests/system", *session.posargs,
    )  # fmt: skip


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Print the tables of benchmarks/README.md."""
    run_module(session, "benchmarks", *session.posargs)


@nox.session(venv_backend="virtualenv")
def lock(session: nox.Session) -> None:
    """Write requirements-dev.lock anew, for all platforms and Python versions."""
    session.install("uv")
    session.run(
        "uv", "pip", "compile", "pyproject.toml", "--extra", "dev",
        "--universal", "--python-version", "3.11",
        "--generate-hashes", "--no-annotate", "--no-emit-index-url",
        "--custom-compile-command", "nox -s lock",
        "--quiet", "--output-file", "requirements-dev.lock", *session.posargs,
    )  # fmt: skip
