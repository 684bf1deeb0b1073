"""What the author of a plugin or store needs to test it: the tests that ours pass, and a laboratory of namespaces."""

from quantumd.testing.network_plugins import PluginHost, make_network_plugin_tests

__all__ = ["PluginHost", "make_network_plugin_tests"]
