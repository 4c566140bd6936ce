"""Which rooms may import which: only lower ones, without cycles; some rooms do no I/O."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "batchcap"

LAYERS = [
    {"domain", "sandbox", "testing"},
    {"storage", "manifest", "engine", "transport"},
    {"webhooks", "captions", "reports"},
    {"providers", "web"},
    {"simulation"},
    {"app"},
    {"cli"},
    {"__main__"},
]
"""From bottom to top. Rooms of one level do not know each other."""
RANK = {room: rank for rank, rooms in enumerate(LAYERS) for room in rooms}

FORBIDDEN = {
    "engine": {"aiohttp", "sqlite3", "os", "pathlib", "aiofiles"},
}
CLIENTS = {"http_connector", "http_errors", "http_session"}
SERVERS = {"sandbox", "webhooks", "web"}


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


@cache
def imports(path: Path) -> frozenset[str]:
    """Absolute names of the modules that a file imports, inside functions too."""
    tree = ast.parse(path.read_text())
    return frozenset(_imported(tree, path))


def _imported(tree: ast.AST, path: Path) -> Iterator[str]:
    package = ["batchcap", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def rooms_imported(path: Path) -> set[str]:
    parts = (name.split(".") for name in imports(path))
    return {name[1] for name in parts if name[0] == "batchcap" and len(name) > 1} & RANK.keys()


def test_every_room_has_a_level() -> None:
    assert {room_of(path) for path in files()} == RANK.keys()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    room = room_of(path)
    others = rooms_imported(path) - {room}
    not_below = {other for other in others if RANK[other] >= RANK[room]}
    assert not not_below, f"{path} imports from its own level or from above: {not_below}"


def test_imports_have_no_cycles() -> None:
    graph = {
        path.relative_to(ROOT).with_suffix("").as_posix().removesuffix("/__init__"): {
            target
            for name in imports(path)
            if name.startswith("batchcap.") and (target := _module(name))
        }
        for path in files()
    }
    for module, targets in graph.items():
        targets.discard(module)
    TopologicalSorter(graph).prepare()  # raises CycleError


def _module(name: str) -> str | None:
    """The file that an imported name comes from, as a path below the package."""
    parts = name.split(".")[1:]
    for end in range(len(parts), 0, -1):
        below = ROOT.joinpath(*parts[:end])
        if below.with_suffix(".py").exists() or (below / "__init__.py").exists():
            return "/".join(parts[:end])
    return None


@pytest.mark.parametrize("room", FORBIDDEN)
def test_engine_imports_no_io_library(room: str) -> None:
    modules = (ROOT / room).glob("*.py")
    top = {name.split(".")[0] for module in modules for name in imports(module)}
    assert not top & FORBIDDEN[room]


def test_aiohttp_is_imported_only_by_the_http_modules_and_servers() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if room_of(path) not in SERVERS
        and "aiohttp" in {name.split(".")[0] for name in imports(path)}
    }
    assert users == {f"transport/{name}.py" for name in CLIENTS}


def test_commands_read_the_environment_with_the_configuration() -> None:
    """Otherwise a command would not know the secrets and URLs of batchcap.toml."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if room_of(path) != "sandbox" and "os.environ" in path.read_text()
    }
    assert users == {
        f"cli/{name}.py"
        for name in ("app", "configuration/configuration", "encoding", "on_end", "runtime")
    }


def test_only_sender_and_file_host_send_requests() -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in files()
        if "batchcap.transport.http_session.HttpSession" in imports(path)
    }
    assert users == {"transport/sender.py", "captions/file_host.py"}


def test_sandbox_imports_nothing_of_the_rest() -> None:
    for path in files():
        if room_of(path) == "sandbox":
            assert rooms_imported(path) <= {"sandbox"}, path


def test_nine_functions_in_ten_are_short() -> None:
    lengths = sorted(length for path in files() for length in _lengths(path))
    assert lengths[int(len(lengths) * 0.9)] < 26


def _lengths(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node, clean=False)
            body = node.body[0]
            skipped = (body.end_lineno or 0) - body.lineno + 1 if doc is not None else 0
            yield (node.end_lineno or 0) - node.lineno + 1 - skipped


PROVIDER_NAMES = re.compile("mux|heygen", re.IGNORECASE)
KNOW_PROVIDERS = {"providers", "sandbox", "simulation", "cli"}
"""The sandbox and the simulation imitate providers; the CLI has options about one."""


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_provider_names_occur_only_in_the_rooms_of_providers(path: Path) -> None:
    if room_of(path) not in KNOW_PROVIDERS:
        offenders = {
            word for word in _words(ast.parse(path.read_text())) if PROVIDER_NAMES.search(word)
        }
        assert not offenders, f"{path} names a provider"


def _words(tree: ast.Module) -> Iterator[str]:
    """Every identifier and every string that is not a docstring."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and id(node) not in docstrings:
                yield node.value
        else:
            names = (
                getattr(node, field, None)
                for field in ("id", "attr", "arg", "name", "asname", "module")
            )
            yield from (name for name in names if isinstance(name, str))
