"""How fast 1,000 veths on 50 networks come and go, against ``ip -batch`` and ``ip link del`` in the same run.

    python benchmarks/attachments.py [--attachments 1000] [--networks 50] [--rounds 7] [--json]

They are asked for 100 a request, as ``ip -batch`` gets many at once; and one a request. Runs on a scratch
machine; the host's own network is not touched.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import Finding, arguments, ask, drive, finish, in_turns, request, settled

from quantumd.testing.scratch import daemon, devices, enter, run

_CONNECTIONS = 16
#: How many attachments are asked for with one request, if that is not said to be another number.
AT_A_TIME = 100


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Attachments:
    """Devices, plugged and unplugged by a daemon on some networks of its own. They are plugged when their status begins
    with ``plugged``; names begin with ``prefix``. They are asked for so many at a time: one after the other where that
    is more than one."""

    def __init__(
        self, api: Path, devices: Sequence[Any], prefix: str, networks: int, plugged: str, at_a_time: int = AT_A_TIME
    ) -> None:
        self._api = api
        self._at_a_time = at_a_time
        self._plugged = plugged
        self._forms = [{"id": f"{prefix}{n}", "device": device} for n, device in enumerate(devices)]
        names = [{"network": {"name": f"{prefix}{n}"}} for n in range(networks)]
        made = ask(api, 202, *(request("POST", "/networks", name) for name in names))
        self._networks = [f"/networks/{answer['network']['id']}" for answer in made]
        self._homes: list[str] = []
        settled(api)

    def plug(self) -> float:
        """Attachments a second, from the first request until all of them are plugged."""
        homes = [self._networks[n % len(self._networks)] for n in range(len(self._forms))]
        if self._at_a_time == 1:
            connections = _CONNECTIONS
            plugs = [
                request("POST", f"{home}/attachments", {"attachment": form})
                for home, form in zip(homes, self._forms, strict=True)
            ]
        else:
            connections = 1
            wanted = [
                {**form, "network_id": home.rpartition("/")[2]} for home, form in zip(homes, self._forms, strict=True)
            ]
            pieces = range(0, len(wanted), self._at_a_time)
            plugs = [
                request("POST", "/attachments", {"attachments": wanted[at : at + self._at_a_time]}) for at in pieces
            ]
        answers: dict[int, bytes] = {}

        def plug() -> None:
            drive(self._api, plugs, connections, 202, answers)
            self._wait(lambda seen: all(one["status"].startswith(self._plugged) for one in seen))

        took = timed(plug)
        made: list[Any] = []
        for place in range(len(plugs)):
            answer = json.loads(answers[place])
            made += answer["attachments"] if "attachments" in answer else [answer["attachment"]]
        self._homes = [f"/networks/{one['network_id']}/ports/{one['port_id']}/attachment" for one in made]
        return len(made) / took

    def unplug(self) -> float:
        """Attachments a second, from the first request until none of them is left."""
        pulls = [request("DELETE", home) for home in self._homes]

        def unplug() -> None:
            drive(self._api, pulls, _CONNECTIONS, 202)
            self._wait(lambda seen: not seen)

        return len(pulls) / timed(unplug)

    def close(self) -> None:
        """Delete the networks."""
        ask(self._api, 202, *(request("DELETE", network) for network in self._networks))
        settled(self._api)

    def _wait(self, done: Callable[[list[Any]], bool]) -> None:
        """Wait until it is so on each network: first on the one that was asked for last, then on all of them. To ask
        again and again for what is under way would be work for the daemon, too."""
        deadline = time.monotonic() + 120
        lists = [request("GET", f"{network}/attachments") for network in self._networks]
        for asking in (lists[-1:], lists):
            while not all(done(seen["attachments"]) for seen in ask(self._api, 200, *asking)):
                if time.monotonic() > deadline:
                    raise SystemExit("not within 120 s")
                time.sleep(0.01)


def guests_namespace(name: str) -> None:
    """Make a namespace for the far ends of devices, in which they do not speak by themselves (IPv6).

    A guest has a namespace of its own. A thousand in one would each ask for routers, and each of these frames, which
    the network takes to all of its members, would be looked up among the routes of a thousand devices: half of the
    machine's time, and nothing that anybody's host does.
    """
    run("ip", "netns", "add", name)
    run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")


def veths(
    api: Path, guests: str, prefix: str, networks: int, attachments: int, at_a_time: int = AT_A_TIME
) -> Attachments:
    """That many veths, whose far ends are in namespace ``guests``, until they are up."""
    ends = [{"create": "veth", "netns": guests, "ifname": f"{prefix}{n}"} for n in range(attachments)]
    return Attachments(api, ends, prefix, networks, "Attached/UP", at_a_time)


class Bare:
    """What a script would do, with the same devices."""

    def __init__(self, networks: int, attachments: int) -> None:
        self._attachments = attachments
        self._bridges = [f"br{n % networks}" for n in range(attachments)]
        self._batch([f"link add name br{n} type bridge" for n in range(networks)])
        self._batch([f"link set br{n} up" for n in range(networks)])

    def make(self) -> float:
        """Veths a second, made, enslaved and set up by ``ip -batch``."""
        guests_namespace("bare")

        def make() -> None:
            each = range(self._attachments)
            self._batch([f"link add name v{n} type veth peer name e{n} netns bare" for n in each])
            self._batch([f"link set v{n} master {bridge}" for n, bridge in enumerate(self._bridges)])
            self._batch([f"link set v{n} up" for n in each])
            self._batch([f"link set e{n} up" for n in each], "-n", "bare")

        return self._attachments / timed(make)

    def remove(self) -> float:
        """Veths a second, removed one by one by ``ip link del``; taken from a tenth of them."""
        some = range(0, self._attachments, 10)
        took = timed(lambda: [run("ip", "link", "del", f"v{n}") for n in some])
        run("ip", "netns", "del", "bare")
        while any(name.startswith("v") for name in devices()):
            time.sleep(0.05)
        return len(some) / took

    @staticmethod
    def _batch(lines: list[str], *options: str) -> None:
        run("ip", *options, "-batch", "-", stdin="\n".join(lines) + "\n")


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--attachments", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    enter()
    run("ip", "netns", "add", "host")
    guests_namespace("guests")
    with (
        tempfile.TemporaryDirectory(prefix="quantumd-bench-") as work,
        daemon("linuxbridge", Path(work), namespace="host"),
    ):
        before = run("ip", "-n", "host", "-o", "link")
        api = Path(work, "api.sock")
        ours = veths(api, "guests", "vif", asked.networks, asked.attachments)
        single = veths(api, "guests", "one", asked.networks, asked.attachments, 1)
        bare = Bare(asked.networks, asked.attachments)
        plugged, unplugged, alone, _, made, removed = in_turns(
            ours.plug,
            ours.unplug,
            single.plug,
            single.unplug,
            bare.make,
            bare.remove,
            rounds=asked.rounds,
        )
        ours.close()
        single.close()
        left = run("ip", "-n", "host", "-o", "link")
        if left != before:
            raise SystemExit(f"left over:\n{left}")
    count = f"{asked.attachments:,} veths"
    finish(
        [
            Finding(f"{count}, {AT_A_TIME} a request → Attached/UP, linuxbridge: ip -batch", plugged, made, "/s", 0.5),
            Finding(
                f"{count}, one a request → Attached/UP, linuxbridge: ip -batch",
                alone,
                made,
                "/s",
                0.5,
            ),
            Finding(f"{count} unplugged, linuxbridge: ip link del", unplugged, removed, "/s", 10),
        ]
    )


if __name__ == "__main__":
    main()
