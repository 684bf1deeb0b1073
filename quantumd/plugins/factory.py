"""How our own plugins are found without being imported, so that one that is broken hides no other."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from twisted.plugin import IPlugin
from zope.interface import implementer

from quantumd.interfaces import INetworkPlugin, INetworkPluginFactory


@implementer(IPlugin, INetworkPluginFactory)
class LazyPluginFactory:
    """A plugin in a module that is imported when something of it is asked for.

    ``module`` has ``SETTINGS``, the keys and their defaults, and a class called ``class_name``, which takes the reactor
    and the settings. ImportError where it cannot be imported, for whatever reason.
    """

    def __init__(self, name: str, description: str, module: str, class_name: str) -> None:
        self.name = name
        self.description = description
        self._module_name = module
        self._class_name = class_name

    @property
    def settings(self) -> Mapping[str, Any]:
        """See :class:`~quantumd.interfaces.INetworkPluginFactory`."""
        settings: Mapping[str, Any] = self._from_module("SETTINGS")
        return settings

    def build(self, reactor: Any, settings: Mapping[str, Any]) -> INetworkPlugin:
        """See :class:`~quantumd.interfaces.INetworkPluginFactory`."""
        plugin: INetworkPlugin = self._from_module(self._class_name)(reactor, settings)
        return plugin

    def _from_module(self, name: str) -> Any:
        try:
            return getattr(import_module(self._module_name), name)
        except Exception as error:
            raise ImportError(f"{self._module_name}: {type(error).__name__}: {error}") from error
