"""What can be done to the host, and what may come of it, as values.

The same change is judged when a request asks for it (:meth:`INetworkPlugin.judge`) and carried out later
(:meth:`INetworkPlugin.apply`). A change has the whole records in it, so that a plugin needs no state to apply it.
"""

from __future__ import annotations

from attrs import field, frozen

from quantumd.core.model import Attachment, Json, Key, Network, Port


@frozen
class Leftover:
    """Something on the host that bears our mark and that no record accounts for.

    ``what`` is for people ("bridge q-1a2b3c"); ``handle`` is the plugin's own and comes back to it unchanged.
    """

    what: str
    handle: Json = field(factory=dict)


@frozen
class EnsureNetwork:
    """Make the network, or make it as it should be. ``found`` is what discovery saw amiss."""

    network: Network
    found: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The record that it is for."""
        return self.network.key


@frozen
class RemoveNetwork:
    """Take the network off the host. Nothing is plugged into it any more."""

    network: Network

    @property
    def key(self) -> Key:
        """The record that it is for."""
        return self.network.key


@frozen
class EnsurePort:
    """Make the port, or make it as it should be."""

    port: Port
    network: Network
    found: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The record that it is for."""
        return self.port.key


@frozen
class RemovePort:
    """Take the port off the host. Nothing is plugged into it any more."""

    port: Port
    network: Network

    @property
    def key(self) -> Key:
        """The record that it is for."""
        return self.port.key


@frozen
class Attach:
    """Plug the attachment into its port, or plug it as it should be. Sent only when what excludes it is gone."""

    attachment: Attachment
    port: Port
    network: Network
    found: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The record that it is for."""
        return self.attachment.key


@frozen
class Detach:
    """Unplug the attachment: remove a managed device, let go of a foreign one."""

    attachment: Attachment
    port: Port
    network: Network

    @property
    def key(self) -> Key:
        """The record that it is for."""
        return self.attachment.key


@frozen
class RemoveLeftover:
    """Take off the host what bears our mark and has no record."""

    leftover: Leftover


Change = EnsureNetwork | RemoveNetwork | EnsurePort | RemovePort | Attach | Detach | RemoveLeftover
#: The changes that are for a record.
RecordChange = EnsureNetwork | RemoveNetwork | EnsurePort | RemovePort | Attach | Detach

#: The order within a batch: what lets go goes before what takes.
PHASES: tuple[type[Change], ...] = (
    Detach,
    RemovePort,
    RemoveNetwork,
    RemoveLeftover,
    EnsureNetwork,
    EnsurePort,
    Attach,
)


@frozen
class Done:
    """It is as it should be. ``plugin`` is what the resource reports; ``up``: an attachment is up with carrier."""

    plugin: Json = field(factory=dict)
    up: bool = True


@frozen
class Waiting:
    """Nothing to do until the host has what it takes, and the plugin will notify when it does.

    ``what`` says what is waited for ("device vm1-eth0"). A device of ours that is gone and cannot be made again is
    waited for too.
    """

    what: str
    plugin: Json = field(factory=dict)


@frozen
class Failed:
    """It did not work; it is tried again after a pause. ``message`` says what happened and what to do."""

    message: str
    name: str = "PluginFault"


@frozen
class Blocked:
    """Not tried, since something that it builds on failed in the same batch; no fault of its own."""


Outcome = Done | Waiting | Failed | Blocked
