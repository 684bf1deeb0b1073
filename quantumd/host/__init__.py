"""Drivers of the host: netlink, the tun ioctls, network namespaces and the /proc switches.

Nothing in here knows of networks, ports or attachments; the plugins do.
"""
