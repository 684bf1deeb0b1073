"""``twistd`` that ends itself as ``kill -9`` does: ``python -m tests.functional.stepped WORDS``.

Before the step with the number ``QUANTUMD_STEP``, the first being 0: a netlink message, a tap's ioctl, a write to
/proc/sys, a transaction of OVSDB (before and after it), a commit (before and after it).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.scripts.twistd import run

from quantumd.host.ovsdb.client import Client
from quantumd.host.ovsdb.operations import Operation
from tests.crash.steps import Steps


class Deadly(Steps):
    """Steps of a whole process, in whichever thread."""

    def __init__(self, last: int) -> None:
        super().__init__(last)
        self._lock = threading.Lock()

    def step(self, name: str) -> None:
        """The process is about to do this."""
        with self._lock:
            if self.taken == self.last:
                os.kill(os.getpid(), signal.SIGKILL)
            self.taken += 1


def main() -> None:
    """Run ``twistd``."""
    steps = Deadly(int(os.environ["QUANTUMD_STEP"]))
    transact = Client.transact

    def stepped(client: Client, operations: Sequence[Operation]) -> Deferred[Any]:
        if not operations:  # only to be up to date
            return transact(client, operations)
        steps.step("before a transaction")

        def answered(result: Any) -> Any:
            steps.step("after a transaction")
            return result

        return transact(client, operations).addCallback(answered)

    with steps.watching(), patch.object(Client, "transact", stepped):
        run()


if __name__ == "__main__":
    main()
