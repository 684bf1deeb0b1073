"""What pytest is to do beside running the tests."""

from __future__ import annotations

import pytest

from tests import tally


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests of reliability went through."""
    if lines := tally.told():
        terminalreporter.section("reliability")
        for line in lines:
            terminalreporter.write_line(line)
