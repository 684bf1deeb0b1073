"""How long one attachment takes on a daemon that has nothing else to do.

    python benchmarks/attaching.py [--tries 60] [--json]

A veth that is asked for by PUT, with ``Prefer: wait``, to ``Attached/UP``, against the bare netlink calls from Python;
a tap that comes late, from before it is made until it is Attached. Runs on a scratch machine.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import Finding, arguments, ask, finish, in_turns, request
from pyroute2 import IPRoute, NetNS

from quantumd.host.tun import create_tap
from quantumd.testing.lab import Namespace
from quantumd.testing.scratch import daemon, enter, run

#: Seconds in which daemon and kernel come to rest.
_IDLE = 0.05


@contextmanager
def bare() -> Iterator[Callable[[], float]]:
    """Measures the netlink calls that make a veth with its far end in a namespace, put it into a bridge, set both ends
    up and see it there: seconds."""
    with IPRoute() as near, NetNS("guests-bare") as far:
        near.link("add", ifname="br-bare", kind="bridge")
        (bridge,) = near.link_lookup(ifname="br-bare")
        near.link("set", index=bridge, state="up")
        place = os.open("/run/netns/guests-bare", os.O_RDONLY)

        def once() -> float:
            time.sleep(_IDLE)
            began = time.perf_counter()
            near.link("add", ifname="bare0", kind="veth", peer={"ifname": "far0", "net_ns_fd": place})
            (index,) = near.link_lookup(ifname="bare0")
            near.link("set", index=index, master=bridge)
            near.link("set", index=index, state="up")
            far.link("set", ifname="far0", state="up")
            near.get_links(index)
            took = time.perf_counter() - began
            near.link("del", index=index)
            return took

        yield once
        os.close(place)


class Attaching:
    """One attachment after the other, on a network of its own. Names end in ``suffix``.

    The daemon has the network of namespace ``host``, and answers at ``api``.
    """

    def __init__(self, api: Path, host: str, guests: str, suffix: str) -> None:
        self._api = api
        self._host = Namespace(host)
        self._guests = guests
        self._suffix = suffix
        self._number = 0
        (network,) = ask(api, 202, request("POST", "/networks", {"network": {"name": "one by one"}}, 5))
        self._ports = f"/networks/{network['network']['id']}/ports"

    def asked_for(self) -> float:
        """Seconds from the PUT of a veth to the answer that it is ``Attached/UP``."""
        home, name = self._port(), f"e{self._number}{self._suffix}"
        body = {"attachment": {"id": name, "device": {"create": "veth", "netns": self._guests, "ifname": "eth0"}}}
        time.sleep(_IDLE)
        began = time.perf_counter()
        (made,) = ask(self._api, 202, request("PUT", home, body, 5))
        took = time.perf_counter() - began
        self._check(made, "Attached/UP")
        ask(self._api, 202, request("DELETE", home, None, 5))
        return took

    def late(self) -> float:
        """Seconds from before somebody makes a device to the answer that it is Attached."""
        home, name = self._port(), f"l{self._number}{self._suffix}"
        ask(self._api, 202, request("PUT", home, {"attachment": {"id": name, "device": {"name": name}}}))
        began: list[float] = []

        def make() -> None:
            began.append(time.perf_counter())
            with create_tap(name) as tap:
                tap.persist()

        # By then the plugin has found that there is nothing.
        threading.Timer(_IDLE, self._host.inside, (make,)).start()
        (seen,) = ask(self._api, 200, request("GET", home, None, 5))
        took = time.perf_counter() - began[0]
        self._check(seen, "Attached/")
        ask(self._api, 202, request("DELETE", home, None, 5))
        self._host.ip(f"link del {name}")
        return took

    def _port(self) -> str:
        self._number += 1
        (port,) = ask(self._api, 202, request("POST", self._ports, {"port": {}}, 5))
        return f"{self._ports}/{port['port']['id']}/attachment"

    @staticmethod
    def _check(answer: Any, status: str) -> None:
        if not answer["attachment"]["status"].startswith(status):
            raise SystemExit(f"not {status}: {answer}")


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--tries", type=int, default=60)
    tries = parser.parse_args().tries
    enter()
    for name in ("host", "guests", "guests-bare"):
        run("ip", "netns", "add", name)
    with (
        tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work,
        daemon("linuxbridge", Path(work), namespace="host"),
        bare() as limit,
    ):
        attaching = Attaching(Path(work, "api.sock"), "host", "guests", "")
        waited, least = in_turns(attaching.asked_for, limit, rounds=tries)
        (late,) = in_turns(attaching.late, rounds=tries)
    finish(
        [
            Finding("one attach, idle: bare netlink + 5 ms", waited * 1000, least * 1000 + 5, "ms", 1, True),
            Finding("late device there → Attached", late * 1000, 20, "ms", 1, True),
        ]
    )


if __name__ == "__main__":
    main()
