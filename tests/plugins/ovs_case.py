"""What the tests of the ovs plugin have in common."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor

from quantumd.plugins.ovs import SETTINGS, OvsPlugin
from quantumd.testing.openvswitch import OpenVSwitch


def make_plugin(switch: OpenVSwitch, **settings: Any) -> OvsPlugin:
    """A plugin whose host is the switch's namespace."""
    given = {**SETTINGS, "ovsdb": switch.remote, "datapath_type": "netdev", **settings}
    return OvsPlugin(reactor, given, netns=switch.namespace.path if switch.namespace is not None else None)
