"""``make demo``: the five use cases of the Quantum API proposal, on real devices, with real pings.

Everything happens on a scratch machine (:mod:`quantumd.testing.scratch`), whose namespaces play the virtual machines.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from quantumd.cli.client import Client
from quantumd.cli.errors import Refused, Unreachable
from quantumd.testing.lab import Lab
from quantumd.testing.openvswitch import OpenVSwitch
from quantumd.testing.scratch import ScratchFailed, daemon, devices, enter, run

_BOLD, _DIM, _GREEN, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


class DemoFailed(Exception):
    """Something did not go as the demo says it does."""


class Narrator:
    """Says what is done, does it through the API, and says what came of it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def chapter(self, title: str) -> None:
        """Begin a use case."""
        print(f"\n{paint(title, _BOLD)}")

    def say(self, text: str) -> None:
        """Say something."""
        print(f"  {text}")

    def call(self, method: str, path: str, body: Any = None, wait: bool = True) -> Any:
        """Send a request, and show it and its answer; with ``wait``, ask for the answer when it has settled."""
        shown = f" {json.dumps(body)}" if body is not None else ""
        print(paint(f"  > {method} {path}{shown}", _DIM))
        answer = self._client.request(method, path, body, wait=30 if wait else None)
        print(f"  < {answer.status} {summary(answer.json)}")
        return answer.json

    def refused(self, name: str, method: str, path: str, body: Any = None) -> None:
        """Send a request that must be refused with that fault."""
        try:
            self.call(method, path, body)
        except Refused as refusal:
            print(f"  < {refusal.name}: {refusal}")
            if refusal.name != name:
                raise DemoFailed(f"{method} {path} was refused, but not with {name}") from refusal
        else:
            raise DemoFailed(f"{method} {path} was not refused")

    def ping(self, vm: str, address: str, reaches: bool = True) -> None:
        """Ping from one VM, and hold what came of it against what should."""
        words = ["ip", "netns", "exec", vm, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", address]
        output = subprocess.run(words, capture_output=True, text=True, check=False).stdout
        got = re.search(r"(\d+) (packets )?received", output)
        times = re.search(r"= [\d.]+/([\d.]+)/", output)
        received = int(got[1]) if got else 0
        took = f", {times[1]} ms each" if times else ""
        good = (received > 0) is reaches
        mark = paint("as it should", _GREEN) if good else paint("WRONG", _RED)
        print(f"  {vm} pings {address}: {received} of 3 answered{took} ({mark})")
        if not good:
            raise DemoFailed(f"{vm} should {'' if reaches else 'not '}reach {address}")


def paint(text: str, colour: str) -> str:
    """The text in colour, where a person watches."""
    return f"{colour}{text}{_PLAIN}" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def summary(body: Mapping[str, Any]) -> str:
    """One line of what a reply says."""
    ((kind, value),) = body.items()
    if isinstance(value, list):
        return f"{kind}: " + (", ".join(f"{item['id']} {item['status']}" for item in value) or "none")
    where = value.get("plugin") or {}
    on = "".join(f" {word} {where[word]}" for word in ("device", "bridge") if word in where)
    into = f" in port {value['port_id'][:8]}" if "port_id" in value else ""
    return f"{kind} {value['id']}: {value['status']}{into}{',' if on else ''}{on}"


def vm(name: str) -> str:
    """A namespace that plays a virtual machine."""
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")
    return name


def nic(name: str, ifname: str = "eth0") -> dict[str, Any]:
    """The attachment of a VM's NIC: quantumd makes a veth pair and puts one end into the VM."""
    return {"attachment": {"id": f"{name}-{ifname}", "device": {"create": "veth", "netns": name, "ifname": ifname}}}


def address(name: str, cidr: str, ifname: str = "eth0") -> None:
    """Give a VM's NIC its address, as the VM itself would."""
    run("ip", "-n", name, "address", "add", cidr, "dev", ifname)


def play(tell: Narrator) -> None:
    """The five use cases."""
    before = devices()
    tell.chapter("1. A customer creates a layer-2 network")
    blue = tell.call("POST", "/networks", {"network": {"name": "blue"}}, wait=False)["network"]["id"]
    tell.say("The id is there at once; the bridge follows within milliseconds:")
    tell.call("GET", f"/networks/{blue}")

    tell.chapter("2. Compute plugs a VM in, with a port of its choice, and another one without")
    port = tell.call("POST", f"/networks/{blue}/ports")["port"]["id"]
    tell.call("PUT", f"/networks/{blue}/ports/{port}/attachment", nic(vm("vm1")))
    other = tell.call("POST", f"/networks/{blue}/attachments", nic(vm("vm2")))["attachment"]["port_id"]
    tell.say("The customer sees both:")
    tell.call("GET", f"/networks/{blue}/attachments", wait=False)
    address("vm1", "10.0.0.1/24")
    address("vm2", "10.0.0.2/24")
    tell.ping("vm1", "10.0.0.2")

    tell.chapter("3. A VM with two VIFs, on two networks")
    red = tell.call("POST", "/networks", {"network": {"name": "red"}})["network"]["id"]
    vm("vm3")
    first = tell.call("POST", f"/networks/{blue}/attachments", nic("vm3"))["attachment"]["port_id"]
    second = tell.call("POST", f"/networks/{red}/attachments", nic("vm3", "eth1"))["attachment"]["port_id"]
    address("vm3", "10.0.0.3/24")
    address("vm3", "10.9.0.3/24", "eth1")
    tell.ping("vm3", "10.0.0.1")
    tell.say("The networks are apart: vm1 has no way to what vm3 has on red, whatever address it takes.")
    address("vm1", "10.9.0.1/24")
    tell.ping("vm1", "10.9.0.3", reaches=False)

    tell.chapter("4. A VIF moves from one network to another")
    tell.say("Unplug and plug are sent one right after the other; they are carried out in that order.")
    tell.call("DELETE", f"/networks/{blue}/ports/{port}/attachment", wait=False)
    port = tell.call("POST", f"/networks/{red}/attachments", nic("vm1"))["attachment"]["port_id"]
    address("vm1", "10.9.0.1/24")
    tell.ping("vm1", "10.9.0.3")

    tell.chapter("5. Destroy: unplug everything, delete the networks")
    tell.say("A network with something plugged into it stays:")
    tell.refused("AttachmentsPlugged", "DELETE", f"/networks/{blue}")
    for network, used in ((blue, other), (blue, first), (red, second), (red, port)):
        tell.call("DELETE", f"/networks/{network}/ports/{used}/attachment", wait=False)
    for network in (blue, red):
        tell.call("DELETE", f"/networks/{network}")
    tell.call("GET", "/networks", wait=False)
    left = devices() - before
    if left:
        raise DemoFailed(f"left on the host: {', '.join(sorted(left))}")
    tell.say(paint("The machine is as it was before: not one device is left.", _GREEN))


def private_switch(stack: ExitStack, work: Path) -> list[str]:
    """An Open vSwitch that is nobody else's; gives the options of a daemon that is to use it."""
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise ScratchFailed("the userspace datapath of Open vSwitch needs /dev/net/tun, which you may not open")
    switch = OpenVSwitch(stack.enter_context(Lab()), None)
    switch.start()
    config = work / "quantumd.conf"
    config.write_text(f"[plugin:ovs]\novsdb = {switch.remote}\ndatapath_type = netdev\n")
    return ["--config", str(config)]


def main() -> int:
    """Run the demo; the exit status is 0 where everything went as it should."""
    parser = argparse.ArgumentParser(prog="make demo", description="The five use cases, on real devices.")
    parser.add_argument("--plugin", default="linuxbridge", choices=["linuxbridge", "ovs"], help="default: %(default)s")
    plugin = parser.parse_args().plugin
    tools = {"ovs-vswitchd": "openvswitch-switch", "ovsdb-server": "openvswitch-switch"} if plugin == "ovs" else {}
    enter({"ping": "iputils-ping", **tools})
    try:
        with ExitStack() as stack:
            work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="quantumd-demo-")))
            options = private_switch(stack, work) if plugin == "ovs" else []
            client = stack.enter_context(daemon(plugin, work, options))
            client.get("/health")  # is answered once the plugin has made what it needs on the host
            print(f"quantumd runs on a scratch machine, on the {plugin} plugin.")
            play(Narrator(client))
    except (DemoFailed, ScratchFailed, Refused, Unreachable) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
