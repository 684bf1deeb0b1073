"""Imports point down the floors only, and what has to be light stays light."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent / "quantumd"

#: What each part of quantumd may import of quantumd: itself, and those named here. In the order of the floors.
FLOORS: dict[str, tuple[str, ...]] = {
    "core": (),
    "interfaces": ("core",),
    "host": ("core", "interfaces"),
    "store": ("core", "interfaces"),
    "plugins": ("core", "interfaces", "host"),
    "service": ("core", "interfaces"),
    "api": ("core", "interfaces", "service"),
    "cli": (),
    "config": ("core", "interfaces"),
    "listening": ("config",),
    "admintoken": ("service",),
    "auditfile": (),
    "readiness": (),
    "garbage": (),
    "heap": (),
    "turns": (),
    "daemon": (
        "core",
        "interfaces",
        "store",
        "service",
        "api",
        "config",
        "listening",
        "admintoken",
        "auditfile",
        "readiness",
        "garbage",
        "heap",
        "turns",
    ),
    "purge": ("core", "interfaces"),
    "tap": ("interfaces", "store", "config", "listening", "daemon", "purge"),
    "testing": ("core", "interfaces", "host", "cli"),
}

#: Libraries of the standard library and others that do no I/O and know no reactor.
PURE = {"attrs", "rpds"}
IMPURE = {
    "asyncio",
    "fcntl",
    "http",
    "multiprocessing",
    "selectors",
    "signal",
    "socket",
    "socketserver",
    "sqlite3",
    "ssl",
}
IMPURE |= {"subprocess", "shutil", "tempfile", "threading", "time", "urllib", "pathlib", "os", "io", "logging", "sys"}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if part != "__init__":
            yield part, path


def imports(path: Path) -> Iterator[str]:
    """The full names of what the module imports, at the top or anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


class FloorTests(SynchronousTestCase):
    def test_table(self) -> None:
        """Every part has its floor, and the table itself points down."""
        self.assertEqual(set(FLOORS), {part for part, _ in modules()})
        order = list(FLOORS)
        for part, below in FLOORS.items():
            for other in below:
                self.assertLess(order.index(other), order.index(part), f"{part} is below {other}")

    def test_down_only(self) -> None:
        wrong = []
        for part, path in modules():
            for name in imports(path):
                top, *rest = name.split(".")
                if top == "quantumd" and rest and rest[0] in FLOORS and rest[0] not in (part, *FLOORS[part]):
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        self.assertEqual([], wrong)

    def test_core_is_pure(self) -> None:
        wrong = []
        for part, path in modules():
            for name in imports(path) if part == "core" else ():
                top = name.split(".")[0]
                pure = top in PURE or top == "quantumd" or (top in sys.stdlib_module_names and top not in IMPURE)
                if not pure:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        self.assertEqual([], wrong)

    def test_the_command_line_is_light(self) -> None:
        """quantumctl needs nothing but Python, so that it starts at once and runs where quantumd does not."""
        wrong = []
        for part, path in modules():
            for name in imports(path) if part == "cli" else ():
                top = name.split(".")[0]
                if top != "quantumd" and top not in sys.stdlib_module_names:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
        self.assertEqual([], wrong)

    def test_modules_are_short(self) -> None:
        """Each can be read at one sitting."""
        long = [str(path.relative_to(ROOT)) for _, path in modules() if len(path.read_text().splitlines()) > 450]
        self.assertEqual([], long)

    def test_dropins_import_nothing_that_may_break(self) -> None:
        """What fails to import in a drop-in hides everything in it."""
        plugins = ROOT.parent / "twisted" / "plugins"
        self.assertFalse((plugins / "__init__.py").exists(), "twisted.plugins is a directory of drop-ins")
        found = {path.name: set(imports(path)) for path in plugins.glob("quantumd_*.py")}
        self.assertEqual(
            {
                "quantumd_service.py": {"twisted.application.service.ServiceMaker"},
                "quantumd_plugins.py": {"quantumd.plugins.factory.LazyPluginFactory"},
            },
            found,
        )
