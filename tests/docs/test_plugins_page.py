"""The example of docs/plugins.md is whole, and passes the tests that it names."""

from __future__ import annotations

import re
import sys
import tempfile
import unittest
from pathlib import Path

from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from quantumd.interfaces import INetworkPluginFactory

_PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def _example() -> dict[str, object]:
    """Run the page's blocks of Python as the modules that it says they are; returns the last one's names."""
    plugin, dropin, tests = re.findall(r"```python\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    with tempfile.TemporaryDirectory() as directory:
        for name, text in (("files_plugin", plugin), ("files_dropin", dropin), ("test_files_plugin", tests)):
            (Path(directory) / f"{name}.py").write_text(text)
        sys.path.insert(0, directory)
        try:
            import files_dropin  # type: ignore[import-not-found]
            import test_files_plugin  # type: ignore[import-not-found]
        finally:
            sys.path.remove(directory)
    return {"factory": files_dropin.factory, "tests": test_files_plugin.FilesPluginTests}


_EXAMPLE = _example()

#: Collected and run like any other test case.
FilesPluginTests: type[unittest.TestCase] = _EXAMPLE["tests"]  # type: ignore[assignment]


class PageTests(SynchronousTestCase):
    def test_factory(self) -> None:
        """The drop-in has a factory that quantumd would find."""
        factory = _EXAMPLE["factory"]
        verifyObject(INetworkPluginFactory, factory)
        verifyObject(IPlugin, factory)
        self.assertEqual("files", factory.build(None, {"root": "unused"}).name)  # type: ignore[attr-defined]

    def test_tests_are_found(self) -> None:
        """The example's test case is not empty."""
        self.assertGreater(unittest.defaultTestLoader.loadTestsFromTestCase(FilesPluginTests).countTestCases(), 5)
