"""Plugin ``ovs``, on Open vSwitch.

:mod:`.judge` answers requests; :mod:`.backend` keeps in touch with the switch, sets its bridge up and isolates
strangers; :mod:`.look` sees what is there, :mod:`.attach` and :mod:`.removal` change it, by :mod:`.rows` in the
switch's database and by :mod:`.devices` in the kernel; :mod:`.plugin` puts them together.
"""

from quantumd.plugins.ovs.plugin import SETTINGS, OvsPlugin

__all__ = ["SETTINGS", "OvsPlugin"]
