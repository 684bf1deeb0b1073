"""Whatever comes in from outside: nothing crashes, nothing is a fault of quantumd's own, and memory stays bounded.

Each target begins with the corpus beside this file, whole, and then bends it: cuts, repeats, bytes of other entries and
of nobody's. What once went wrong belongs into the corpus. ``FUZZ_CASES`` is how many are tried of each target.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock, Cooperator
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from quantumd.config import ConfigError, Settings, load
from quantumd.host.ovsdb.protocol import JsonRpc
from quantumd.plugins.factory import LazyPluginFactory
from tests.api.support import NO_ID, ApiTestCase, request_bytes

CORPUS = Path(__file__).parent / "corpus"
CASES = int(os.environ.get("FUZZ_CASES", "200"))
#: Bytes that a target may need at most, whatever it is fed.
MEMORY = 64 << 20


def corpus(target: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@st.composite
def bent(draw: st.DrawFn, target: str) -> bytes:
    """An entry of the corpus, bent up to four times."""
    entries = corpus(target)
    data = draw(st.sampled_from(entries))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        other = draw(st.sampled_from(entries))
        piece = draw(st.binary(max_size=8) | st.just(data[start:end] * 3) | st.just(other[start : start + 30]))
        data = data[:start] + piece + data[end:]
    return data


def run(target: str, try_one: Callable[[bytes], None]) -> None:
    """The corpus, and then what becomes of it; prints how many and how long."""
    began, tried = time.monotonic(), 0
    tracemalloc.start()
    try:
        for entry in corpus(target):
            try_one(entry)

        @settings(
            max_examples=CASES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(bent(target))
        def bend(data: bytes) -> None:
            nonlocal tried
            tried += 1
            try_one(data)

        bend()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"{target}: {tried} cases in {time.monotonic() - began:.1f} s, at most {peak / 2**20:.0f} MiB")
    assert peak < MEMORY, peak


class BodyFuzz(ApiTestCase):
    """JSON and XML, through the whole edge."""

    targets = (
        ("POST", "/networks"),
        ("PUT", f"/networks/{NO_ID}/ports/{NO_ID}/attachment"),
        ("POST", f"/networks/{NO_ID}/attachments"),
        ("POST", "/tokens"),
    )

    def setUp(self) -> None:
        super().setUp()
        self.network(id=NO_ID)
        self.port(NO_ID, id=NO_ID)

    def judge(self, suffix: str) -> Callable[[bytes], None]:
        def try_one(body: bytes) -> None:
            for method, target in self.targets:
                response = self.ask(method, f"{target}.{suffix}", body)
                assert response.status < 500 or response.status == 510, (target, body, response)
                assert "html" not in response.headers["content-type"]
                assert b"Traceback" not in response.body

        return try_one

    def test_json(self) -> None:
        run("json", self.judge("json"))

    def test_xml(self) -> None:
        run("xml", self.judge("xml"))
        # What is no HTTP at all has an answer too, or none.
        for entry in corpus("xml") + corpus("json"):
            connection = self.connect()
            connection.send(entry + b"\r\n\r\n" + request_bytes("GET", "/" + "x" * 20_000))
            assert b" 500 " not in connection.received
            connection.hang_up()


class ConfigurationFuzz(SynchronousTestCase):
    def test_configuration(self) -> None:
        directory = Path(tempfile.mkdtemp(prefix="quantumd-fuzz-"))
        self.addCleanup(shutil.rmtree, directory)
        path = directory / "quantumd.conf"
        factories = [LazyPluginFactory("memory", "", "quantumd.plugins.memory", "MemoryPlugin")]

        def try_one(text: bytes) -> None:
            path.write_bytes(text)
            try:
                found = load(path, {"plugin": "memory"}, factories, lambda factory, values: None)
            except ConfigError as error:
                assert "\n" not in str(error), error
            else:
                assert isinstance(found, Settings)

        run("config", try_one)


class OvsdbFuzz(SynchronousTestCase):
    """What a server says that has gone mad: the connection ends, or goes on."""

    def test_replies(self) -> None:
        def try_one(data: bytes) -> None:
            clock = Clock()
            protocol = JsonRpc(clock, Cooperator(scheduler=lambda call: clock.callLater(0, call)))
            protocol.makeConnection(StringTransport())
            for _ in range(2):
                protocol.request("x", []).addBoth(lambda _: None)
            for at in range(0, len(data), 50):
                protocol.dataReceived(data[at : at + 50])
            for _ in range(50):
                clock.advance(0)

        run("ovsdb", try_one)
        self.assertEqual(self.flushLoggedErrors(), [])
