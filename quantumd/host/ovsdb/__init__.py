"""OVSDB (RFC 7047) as Deferreds: a lean replica of the columns that are used, and transactions as values.

It knows no schema beforehand and works with any: the server's own is asked for and read with the ``ovs`` package's
schema classes. :class:`~quantumd.host.ovsdb.client.Client` is where to begin.
"""
