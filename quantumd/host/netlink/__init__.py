"""The driver of rtnetlink.

:mod:`.messages` makes requests, :class:`.rtnl.Rtnl` carries them out in :class:`.thread.NetlinkThread`,
:mod:`.parse` reads what comes back, and :class:`.monitor.LinkMonitor` listens.
"""
