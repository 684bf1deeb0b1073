"""What the author of a plugin or store needs to test it: the tests that ours pass, and a laboratory of namespaces."""

from quantumd.testing.network_plugins import PluginHost, make_network_plugin_tests
from quantumd.testing.stores import StorePlace, make_state_store_tests

__all__ = ["PluginHost", "StorePlace", "make_network_plugin_tests", "make_state_store_tests"]
