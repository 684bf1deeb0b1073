"""What the pages tell people to type is taken by the programs that they name, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd.cli.parser import build_parser

_TOP = Path(__file__).parents[2]
_PAGES = [_TOP / "README.md", _TOP / "CONTRIBUTING.md", *sorted((_TOP / "docs").glob("*.md"))]


def _commands(text: str, program: str) -> list[list[str]]:
    """The arguments of every command line of that program in a text: in indented blocks, and between backquotes."""
    lines = re.findall(rf"^ {{4}}(?:\$ )?(?:\S*/)?{program} ([^#\n|]*)", text, re.MULTILINE)
    lines += re.findall(rf"`{program} ([^`]+)`", text)
    return [shlex.split(line) for line in lines]


class PagesTests(SynchronousTestCase):
    def test_quantumctl(self) -> None:
        """quantumctl takes every one of its command lines, word by word."""
        commands = [words for page in _PAGES for words in _commands(page.read_text(), "quantumctl")]
        self.assertGreater(len(commands), 10)
        for words in commands:
            try:
                build_parser().parse_args(words)
            except SystemExit:
                self.fail(f"quantumctl {shlex.join(words)}")

    def test_make(self) -> None:
        """The Makefile has every target that a page names."""
        targets = {word for page in _PAGES for words in _commands(page.read_text(), "make") for word in words}
        makefile = (_TOP / "Makefile").read_text()
        for target in targets:
            if "=" not in target:
                self.assertRegex(makefile, rf"(?m)^{target}:")
        self.assertLessEqual({"run", "test", "demo"}, targets)

    def test_links(self) -> None:
        """Every relative link leads to a file of the project."""
        for page in _PAGES:
            for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
                self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")
