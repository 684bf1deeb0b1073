"""How long a thread waits for another that computes."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

#: Prints the seconds that 50 system calls take beside a thread that computes: by default, and with short turns.
_BESIDE = """
import threading, time
from quantumd.turns import keep_turns_short

computing, over = threading.Event(), threading.Event()

def compute():
    while not over.is_set():
        sum(range(1000))
        computing.set()

def calls():
    began = time.perf_counter()
    for _ in range(50):
        time.sleep(0.0001)
    return time.perf_counter() - began

thread = threading.Thread(target=compute)
thread.start()
computing.wait()
long = calls()
keep_turns_short()
print(long, calls())
over.set()
thread.join()
"""

#: Prints how long a turn is before a daemon begins to start, and while it starts.
_DAEMON = """
import sys
from twisted.internet import reactor, task
from quantumd.tap import Options, makeService

options = Options()
state, api = sys.argv[1] + "/state", "unix:" + sys.argv[1] + "/api"
options.parseOptions(["--plugin", "memory", "--state", state, "--listen", api])
daemon = makeService(options)
print(sys.getswitchinterval())

def main(reactor):
    daemon.startService()
    print(sys.getswitchinterval())
    return daemon.stopService()

task.react(main)
"""


class TurnsTests(SynchronousTestCase):
    def test_who_computes_lets_others_have_the_interpreter(self) -> None:
        words = [sys.executable, "-c", _BESIDE]
        said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        by_default, short = map(float, said.split())
        self.assertLess(short, by_default / 3)

    def test_the_daemon_does(self) -> None:
        with tempfile.TemporaryDirectory(prefix="quantumd-turns-") as directory:
            words = [sys.executable, "-c", _DAEMON, directory]
            said = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        before, after = map(float, said.split())
        self.assertLess(after, before)
