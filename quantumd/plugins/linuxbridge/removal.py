"""Taking off the host: what was made is removed, many at once; what is somebody else's is let go of."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import assert_never

from quantumd.core.changes import Detach, Done, Failed, Outcome, RemoveLeftover, RemoveNetwork, RemovePort
from quantumd.core.names import MARK
from quantumd.host.netlink import messages
from quantumd.host.netlink.groups import delete_links
from quantumd.host.netlink.messages import Device
from quantumd.host.netlink.parse import IpAddress, Link
from quantumd.host.netlink.rtnl import Rtnl
from quantumd.host.netlink.wire import Request
from quantumd.host.shield import unshield_strangers
from quantumd.plugins.linuxbridge.facts import gather
from quantumd.plugins.linuxbridge.look import bridge_of_network
from quantumd.plugins.linuxbridge.marks import describe, is_half_made, made_here, marks, owners
from quantumd.plugins.linuxbridge.terms import Plug, Role, names_of, plug_of, remote_of

#: How many bridges go together. The kernel waits for each, and lets nobody change any device of the machine meanwhile:
#: so many take half a second, and then it is others' turn.
_BRIDGES = 20

Removal = Detach | RemovePort | RemoveNetwork | RemoveLeftover


def remove(rtnl: Rtnl, changes: Sequence[Removal]) -> list[Outcome]:
    """Carry removals out, and give one outcome for each. What is gone already is done."""
    return _Removing(rtnl, changes).run()


class _Removing:
    def __init__(self, rtnl: Rtnl, changes: Sequence[Removal]) -> None:
        self._rtnl = rtnl
        self._changes = changes
        self._outcomes: list[Outcome] = [Done() for _ in changes]
        # For each device to be removed, or to be let go of, the places of the changes that ask for it.
        self._doomed: defaultdict[int, set[int]] = defaultdict(set)
        self._released: list[tuple[int, Link, list[Request]]] = []
        # By index: VXLAN devices, and the places, plugs and remotes that leave them.
        self._tunnels: dict[int, tuple[Link, list[tuple[int, Plug, IpAddress]]]] = {}
        self._facts = gather(rtnl, {device for change in changes for device in _devices(change)})

    def run(self) -> list[Outcome]:
        for place, change in enumerate(self._changes):
            match change:
                case Detach():
                    self._detach(place, plug_of(change.attachment, change.network))
                case RemoveNetwork(network):
                    self._doom(
                        place, bridge_of_network(self._facts, network), self._facts.find_half_made(names_of(network))
                    )
                case RemoveLeftover():
                    self._remove_leftover(place, self._facts.links.get(int(change.leftover.handle["index"])))
                case RemovePort():
                    pass
                case _:
                    assert_never(change)
        self._leave_tunnels()
        self._release()
        self._remove_devices()
        return self._outcomes

    def _detach(self, place: int, plug: Plug) -> None:
        found = [self._facts.find(name) for name in (plug.device, plug.mark)]
        self._doom(place, *(link for link in found if link is not None and is_half_made(link)))
        named, marked = (None if link is None or is_half_made(link) else link for link in found)
        if plug.role is Role.FOREIGN:
            for link in {link.index: link for link in (named, marked) if link is not None}.values():
                self._let_go(place, plug, link)
        elif plug.role is Role.TUNNEL:
            if named is not None and made_here(named) and named.kind == "vxlan":
                assert plug.attachment.form.tunnel is not None
                _, leaving = self._tunnels.setdefault(named.index, (named, []))
                leaving.append((place, plug, remote_of(plug.attachment.form.tunnel)))
        else:
            self._doom(
                place, *(link for link in (named, marked) if link and made_here(link) and plug.ident in marks(link))
            )

    def _let_go(self, place: int, plug: Plug, link: Link) -> None:
        """Take somebody's device out of the bridge, as far as it is this attachment that put it there."""
        mine = plug.ident in marks(link)
        if made_here(link) or (marks(link) and not mine):
            return
        bridge = self._facts.find(plug.bridge)
        requests = []
        if bridge is not None and made_here(bridge) and link.master == bridge.index:
            requests.append(messages.set_link(link.index, master=0))
        if mine:
            requests.append(messages.drop_altname(link.index, plug.mark))
        self._released.append((place, link, requests))

    def _leave_tunnels(self) -> None:
        """Take remotes off VXLAN devices that have others left; a device without goes as it is, in one step, so that
        a process that ends on the way leaves nothing that looks like somebody's."""
        for link, leaving in self._tunnels.values():
            known = self._facts.remotes.get(link.index, set())
            stay = known - {remote for _, _, remote in leaving}
            for place, plug, remote in leaving:
                if not stay:
                    self._doom(place, link)
                    continue
                requests = [messages.drop_remote(link.index, remote)] if remote in known else []
                if plug.mark in link.altnames:
                    requests.append(messages.drop_altname(link.index, plug.mark))
                self._released.append((place, link, requests))

    def _remove_leftover(self, place: int, link: Link | None) -> None:
        change = self._changes[place]
        assert isinstance(change, RemoveLeftover)
        # The index may be another device's by now.
        if link is None or sorted(owners(link)) != list(change.leftover.handle["marks"]):
            return
        if made_here(link):
            self._doom(place, link)
            return
        requests = [messages.drop_altname(link.index, MARK + ident) for ident in owners(link)]
        bridge = self._facts.links.get(link.master)
        if bridge is not None and made_here(bridge):
            requests.append(messages.set_link(link.index, master=0))
        self._released.append((place, link, requests))

    def _doom(self, place: int, *links: Link | None) -> None:
        for link in links:
            if link is not None:
                self._doomed[link.index].add(place)

    def _release(self) -> None:
        strangers = [link for _, link, requests in self._released if requests and not made_here(link)]
        refused = self._rtnl.chains([requests for _, _, requests in self._released])
        unshield_strangers(self._rtnl, strangers)
        for (place, link, _), reply in zip(self._released, refused, strict=True):
            if reply is not None and reply.errno != errno.ENODEV:
                self._outcomes[place] = Failed(f"The {describe(link)} is not let go of: {reply.reason}.")

    def _remove_devices(self) -> None:
        bridges = [index for index in self._doomed if self._facts.links[index].kind == "bridge"]
        others = self._doomed.keys() - set(bridges)
        pieces = [bridges[start : start + _BRIDGES] for start in range(0, len(bridges), _BRIDGES)]
        for index, reply in chain.from_iterable(delete_links(self._rtnl, some).items() for some in (others, *pieces)):
            for place in self._doomed[index] if not reply.ok else ():
                link = self._facts.links[index]
                self._outcomes[place] = Failed(f"The {describe(link)} is not removed: {reply.reason}.")


def _devices(change: Removal) -> set[Device]:
    match change:
        case Detach():
            plug = plug_of(change.attachment, change.network)
            return {*plug.names}
        case RemoveNetwork(network):
            return {*names_of(network)}
        case RemoveLeftover():
            return {int(change.leftover.handle["index"])}
        case RemovePort():
            return set()
        case _:
            assert_never(change)
