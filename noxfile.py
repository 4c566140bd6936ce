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
    """Run the tests; arguments after -- go to pytest.

    On four processes, also if there are only two cores: the tests of the installed command
    wait for its timers half of the time.
    """
    run_module(session, "pytest", "-n", "4", "--dist", "worksteal", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Run the tests that take hours, and property tests with many examples."""
    chosen = ["-m", "nightly or hypothesis", "--hypothesis-profile=nightly", "--timeout=3600"]
    run_module(session, "pytest", *chosen, *session.posargs)


UNTRACED = (
    *("system/test_crash.py", "system/test_limits.py", "test_benchmarks.py"),
    *(f"integration/test_{name}.py" for name in ("fuzz", "rehearsal", "simulation")),
)
"""Tests that kill what they start, or repeat the same lines many times."""


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure the coverage of lines and branches, and fail if it has fallen.

    A session of its own: with the tracer of Python 3.11, the tests take almost three times
    as long.
    """
    ignored = [f"--ignore=tests/{name}" for name in UNTRACED]
    options = ["--cov", "--cov-report=term:skip-covered"]
    run_module(session, "pytest", "-n", "2", *options, *ignored, *session.posargs)


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
