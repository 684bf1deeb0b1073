"""Plugin ``linuxbridge``, which needs nothing but the kernel.

:mod:`.judge` answers requests, :mod:`.facts` and :mod:`.look` see what is there, :mod:`.removal`, :mod:`.networks` and
:mod:`.attach` change it, :mod:`.plugin` puts them together.
"""

from quantumd.plugins.linuxbridge.plugin import SETTINGS, LinuxBridgePlugin

__all__ = ["SETTINGS", "LinuxBridgePlugin"]
