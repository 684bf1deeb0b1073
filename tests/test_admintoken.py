from __future__ import annotations

import re
import shutil
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from quantumd.admintoken import TokenError, admin_token


class AdminTokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="quantumd-token-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "admin.token"

    def test_made_once(self) -> None:
        """256 random bits that only the owner may read, the same at each start, another one in each place."""
        token = admin_token(self.path)
        self.assertTrue(re.fullmatch(r"qd_[A-Za-z0-9_-]{43}", token), "43 characters of base64 are 256 bits")
        self.assertEqual(0o600, stat.S_IMODE(self.path.stat().st_mode))
        self.assertEqual([self.path], list(self.directory.iterdir()))
        self.assertEqual(token + "\n", self.path.read_text())
        self.assertEqual(token, admin_token(self.path))
        self.assertNotEqual(token, admin_token(self.directory / "other"))

    def test_not_a_token(self) -> None:
        """A file that holds anything else is not taken for one, and not overwritten; the error does not tell it."""
        for content in (b"", b"secret", b"qd_", b"qd_short", b"\xff\xfe" * 40):
            self.path.write_bytes(content)
            with self.assertRaises(TokenError) as caught:
                admin_token(self.path)
            self.assertIn(str(self.path), str(caught.exception))
            self.assertNotIn("secret", str(caught.exception))
            self.assertEqual(content, self.path.read_bytes())

    def test_no_place(self) -> None:
        for path in (self.directory, self.directory / "none" / "admin.token"):
            with self.assertRaises(TokenError) as caught:
                admin_token(path)
            self.assertEqual(1, len(str(caught.exception).splitlines()))
