"""Tells quantumd of the network plugins that come with it. Imports none of them."""

from quantumd.plugins.factory import LazyPluginFactory

linuxbridge = LazyPluginFactory(
    "linuxbridge",
    "Linux bridges: needs nothing but the kernel, and root or CAP_NET_ADMIN",
    "quantumd.plugins.linuxbridge",
    "LinuxBridgePlugin",
)
ovs = LazyPluginFactory(
    "ovs",
    "Open vSwitch: one integration bridge, a VLAN of it for each network",
    "quantumd.plugins.ovs",
    "OvsPlugin",
)
memory = LazyPluginFactory(
    "memory",
    "No host at all: for trying the API out, and for tests",
    "quantumd.plugins.memory",
    "MemoryPlugin",
)
