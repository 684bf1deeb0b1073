"""How fast 1,000 ports on 50 networks are plugged on ``ovs``, against one hand-written transaction in the same run.

    python benchmarks/openvswitch.py [--attachments 1000] [--networks 50] [--rounds 3] [--json]

The limit is one OVSDB transaction with the same 1,000 ports, on devices that are there, until ``cur_cfg`` has caught
up. quantumd plugs the same devices, taps, by their names; and 1,000 veths, which it has to make first, where the limit
has veths that are there: ovs-vswitchd takes longer for those. Each has a host of its own on the scratch machine, with
a private Open vSwitch with the userspace datapath; the host's own network is not touched.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from attachments import AT_A_TIME, Attachments, guests_namespace, timed, veths
from common import Finding, arguments, finish, in_turns

from quantumd.testing.lab import Lab, Namespace
from quantumd.testing.openvswitch import OpenVSwitch
from quantumd.testing.scratch import daemon, enter, run


def taps(prefix: str, count: int) -> list[str]:
    """Make so many, and set them up."""
    names = [f"{prefix}{number}" for number in range(count)]
    run("ip", "-batch", "-", stdin="".join(f"tuntap add dev {name} mode tap\n" for name in names))
    run("ip", "-batch", "-", stdin="".join(f"link set {name} up\n" for name in names))
    return names


def pairs(guests: str, count: int) -> list[str]:
    """Make so many veths whose far ends are in namespace ``guests``, and set both ends up."""
    names, ends = [f"v{number}" for number in range(count)], [f"e{number}" for number in range(count)]
    made = [
        f"link add {name} type veth peer name {end} netns {guests}\n" for name, end in zip(names, ends, strict=True)
    ]
    run("ip", "-batch", "-", stdin="".join(made))
    run("ip", "-batch", "-", stdin="".join(f"link set {name} up\n" for name in names))
    run("ip", "-n", guests, "-batch", "-", stdin="".join(f"link set {end} up\n" for end in ends))
    return names


def switched(name: str, lab: Lab) -> OpenVSwitch:
    """A host of its own, in a namespace, with an Open vSwitch."""
    run("ip", "netns", "add", name)
    switch = OpenVSwitch(lab, Namespace(name))
    switch.start()
    return switch


def host(name: str, lab: Lab, stack: ExitStack) -> tuple[OpenVSwitch, Path]:
    """One with a quantumd too: its Open vSwitch, and the daemon's socket."""
    switch = switched(name, lab)
    work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantumd-bench-")))
    config = work / "quantumd.conf"
    config.write_text(f"[plugin:ovs]\novsdb = {switch.remote}\ndatapath_type = netdev\n")
    stack.enter_context(daemon("ovs", work, ["--config", str(config)], name))
    return switch, work / "api.sock"


class Bare:
    """The same devices by hand, on a bridge of their own."""

    def __init__(self, switch: OpenVSwitch, names: list[str]) -> None:
        self._switch = switch
        self._names = names
        switch.vsctl("add-br", "br-bare", "--", "set", "Bridge", "br-bare", "datapath_type=netdev")

    def plug(self) -> float:
        """Ports a second, from the transaction until ovs-vswitchd has taken it up."""
        took = timed(self._transact)
        self._switch.transact({"op": "update", "table": "Bridge", "where": _BARE, "row": {"ports": ["set", []]}}, _BUMP)
        self._wait()
        return len(self._names) / took

    def _transact(self) -> None:
        operations: list[object] = []
        for number, name in enumerate(self._names):
            operations.append({"op": "insert", "table": "Interface", "uuid-name": f"i{number}", "row": {"name": name}})
            port = {"name": name, "tag": number % 50 + 1, "interfaces": ["named-uuid", f"i{number}"]}
            operations.append({"op": "insert", "table": "Port", "uuid-name": f"p{number}", "row": port})
        members = ["set", [["named-uuid", f"p{number}"] for number in range(len(self._names))]]
        into = {"op": "mutate", "table": "Bridge", "where": _BARE, "mutations": [["ports", "insert", members]]}
        self._switch.transact(*operations, into, _BUMP)
        self._wait()

    def _wait(self) -> None:
        asking = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg", "cur_cfg"]}
        while True:
            ((row,),) = (answer["rows"] for answer in self._switch.transact(asking))
            if row["cur_cfg"] >= row["next_cfg"]:
                return
            time.sleep(0.005)


_BARE = [["name", "==", "br-bare"]]
_BUMP = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--attachments", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    enter()
    guests_namespace("guests")
    with ExitStack() as stack:
        lab = stack.enter_context(Lab())
        # Devices that lie about idle would be held against the one that makes more than one change: ovs-vswitchd reads
        # all that its host has after each. So quantumd plugs the very devices of the limit, and makes others elsewhere.
        switch, api = host("plugging", lab, stack)
        _, elsewhere = host("making", lab, stack)
        names = Namespace("plugging").inside(taps, "tap", asked.attachments)
        bare = Bare(switch, names)
        guests_namespace("others")
        bare_veths = Bare(switched("bare", lab), Namespace("bare").inside(pairs, "others", asked.attachments))
        # A tap that nobody has open has no carrier.
        devices = [{"name": name} for name in names]
        late = Attachments(api, devices, "tap", asked.networks, "Attached/")
        alone = Attachments(api, devices, "one", asked.networks, "Attached/", 1)
        made = veths(elsewhere, "guests", "vif", asked.networks, asked.attachments)

        def plug(attachments: Attachments) -> float:
            rate = attachments.plug()
            attachments.unplug()
            return rate

        plugged, single, limit, making, limit_veths = in_turns(
            lambda: plug(late),
            lambda: plug(alone),
            bare.plug,
            lambda: plug(made),
            bare_veths.plug,
            rounds=asked.rounds,
        )
    count = f"{asked.attachments:,}"
    finish(
        [
            Finding(
                f"{count} devices, {AT_A_TIME} a request → Attached, ovs: one transaction", plugged, limit, "/s", 0.5
            ),
            Finding(f"{count} devices, one a request → Attached, ovs: one transaction", single, limit, "/s", 0.5),
            Finding(
                f"{count} veths, {AT_A_TIME} a request → Attached/UP, ovs: one transaction",
                making,
                limit_veths,
                "/s",
                0.5,
            ),
        ]
    )


if __name__ == "__main__":
    main()
