"""A live daemon held against its own OpenAPI document by schemathesis, with every check that it has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from socket import socket

from tests.functional.processes import ROOT, DaemonCase

#: Generated requests for each operation and phase; together with the others it makes some 1,500.
EXAMPLES = 20


class SchemathesisTests(DaemonCase):
    """The events are left out: they have no end. Their document is held against the stream elsewhere."""

    def test_every_operation(self) -> None:
        with closing(socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.start("--listen", f"tcp:{port}:interface=127.0.0.1", "--listen", f"unix:{self.socket}:mode=660")
        token = self.state.with_name("admin.token").read_text().strip()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json"),
                *("--header", f"Authorization: Bearer {token}"),
                *("--checks", "all", "--exclude-path", "/events"),
                *("--max-examples", str(EXAMPLES), "--generation-deterministic"),
                *("--request-timeout", "20", "--no-color"),
            ],
            cwd=self.directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.functional.schemathesis_hooks"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout[-20000:])
        tested = re.search(r"Tested: (\d+)", done.stdout)
        assert tested is not None, done.stdout
        self.assertEqual(self.operations(), int(tested[1]))
        log = self.log.read_text()
        for word in ("Traceback", "internal error", "Unhandled"):
            self.assertNotIn(word, log)
        self.assertEqual(200, self.call("GET", "/health").status)

    def operations(self) -> int:
        """How many there are but for the stream of events, and the document, which schemathesis leaves out itself."""
        paths = self.call("GET", "/openapi.json").body["paths"]
        return sum(len(item) for path, item in paths.items() if path not in ("/events", "/openapi.json"))
