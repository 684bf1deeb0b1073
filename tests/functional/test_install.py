"""Installed into a clean virtual environment, quantumd is there from any directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd import __version__
from tests.functional.processes import ROOT

#: What a distribution is built from.
SOURCES = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "quantumd.conf.example", "quantumd", "twisted", "data")


class InstallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-install-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.environment = self.directory / "venv"

    def run_tool(self, *words: str, tool: str, where: Path) -> str:
        environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        path = self.environment / "bin" / tool
        done = subprocess.run(
            [path, *words],
            cwd=where,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def test_install(self) -> None:
        source = self.directory / "source"
        source.mkdir()
        for name in SOURCES:
            part = ROOT / name
            if part.is_dir():
                shutil.copytree(part, source / name, ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
            else:
                shutil.copy(part, source / name)
        subprocess.run([sys.executable, "-m", "venv", self.environment], check=True)
        self.run_tool("-m", "pip", "install", "--quiet", ".", tool="python", where=source)
        for where in (Path("/"), self.directory):
            self.assertIn("quantumd ", self.run_tool("--help", tool="twistd", where=where))
            self.assertIn("--listen", self.run_tool("quantumd", "--help", tool="twistd", where=where))
            self.assertIn(__version__, self.run_tool("--version", tool="quantumctl", where=where))
            script = (
                "from twisted.plugin import getPlugins; from quantumd.interfaces import INetworkPluginFactory as F\n"
            )
            script += "print(sorted((f.name, f.build(None, f.settings).name) for f in getPlugins(F)))"
            found = self.run_tool("-c", script, tool="python", where=where)
            for name in ("linuxbridge", "memory"):
                self.assertIn(repr((name, name)), found)
        for beside in (
            "share/doc/quantumd/quantumd.conf.example",
            "lib/systemd/system/quantumd.service",
            "lib/tmpfiles.d/quantumd.conf",
            "share/bash-completion/completions/quantumctl.bash",
            "share/zsh/site-functions/_quantumctl",
        ):
            self.assertTrue((self.environment / beside).is_file(), beside)
        (packages,) = self.environment.glob("lib/python3*/site-packages")
        self.assertTrue((packages / "quantumd" / "py.typed").is_file())
        self.assertFalse((packages / "tests").exists(), "tests are not installed")
