from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.access import (
    Caller,
    Right,
    Role,
    authorize,
    authorize_tenant,
    find_token,
    visible_network,
    visible_networks,
)
from quantumd.core.errors import AlreadyAttached, NetworkNotFound, NotFound, Unauthorized
from quantumd.core.model import Token
from quantumd.core.transaction import Transaction
from tests.core.support import World, named, uuid

ADMIN = Caller("a", "default", Role.ADMIN)
MEMBER = Caller("m", "acme", Role.MEMBER)
READER = Caller("r", "acme", Role.READER)
NOBODY = Caller("n", "acme", None)
TOKEN = Token(serial=1, id=uuid(1), tenant_id="acme", role="member", digest="ab", created_at="")


class RightTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()

    def test_table(self) -> None:
        for caller, rights in (
            (ADMIN, {Right.READ, Right.WRITE, Right.ADMINISTER}),
            (MEMBER, {Right.READ, Right.WRITE}),
            (READER, {Right.READ}),
            (NOBODY, set()),
        ):
            for right in Right:
                if right in rights:
                    authorize(self.world.state, caller, right)
                else:
                    with self.assertRaises(Unauthorized):
                        authorize(self.world.state, caller, right)

    def test_revoked(self) -> None:
        """A token that is gone opens nothing, whatever its caller was."""
        tx = Transaction(self.world.state, "")
        tx.put_token(TOKEN)
        with_token = evolve(ADMIN, token_id=TOKEN.id)
        authorize(tx.state, with_token, Right.ADMINISTER)
        self.assertEqual(find_token(tx.state, TOKEN.id), TOKEN)
        self.assertEqual(tx.state.token_of("ab"), TOKEN)
        tx.drop_token(TOKEN)
        with self.assertRaises(Unauthorized):
            authorize(tx.state, with_token, Right.READ)
        with self.assertRaises(NotFound):
            find_token(tx.state, TOKEN.id)
        self.assertIsNone(tx.state.token_of("ab"))
        self.assertEqual(tx.state, self.world.state)

    def test_tenants_named(self) -> None:
        for caller, tenant_id, good in (
            (ADMIN, "acme", True),
            (MEMBER, "acme", True),
            (MEMBER, "other", False),
            (READER, "other", False),
            (NOBODY, "acme", False),
        ):
            if good:
                authorize_tenant(caller, tenant_id)
            else:
                with self.assertRaises(Unauthorized):
                    authorize_tenant(caller, tenant_id)


class VisibilityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.mine = self.world.network("mine", "acme")
        self.other = self.world.network("other", "umbrella")
        self.mine_too = self.world.network("mine too", "acme")

    def test_lists(self) -> None:
        state = self.world.state
        self.assertEqual(visible_networks(state, ADMIN), [self.mine, self.other, self.mine_too])
        for caller in (MEMBER, READER):
            self.assertEqual(visible_networks(state, caller), [self.mine, self.mine_too])
        self.assertEqual(visible_networks(state, evolve(MEMBER, tenant_id="nobody's")), [])

    def test_same_words(self) -> None:
        """Another tenant's network is not told from one that is not there."""
        details = []
        for ident in (self.other.id, uuid(99)):
            with self.assertRaises(NetworkNotFound) as caught:
                visible_network(self.world.state, MEMBER, ident)
            details.append(caught.exception.detail.replace(ident, "X"))
        self.assertEqual(details[0], details[1])
        self.assertEqual(visible_network(self.world.state, ADMIN, self.other.id), self.other)
        self.assertEqual(visible_network(self.world.state, READER, self.mine.id), self.mine)

    def test_a_clash_does_not_say_whose(self) -> None:
        """The device of another tenant's attachment is taken; the attachment's id is not told."""
        self.world.plug_anywhere(self.other, named("secret", "tap7"))
        for network, told in ((self.other, True), (self.mine, False)):
            with self.assertRaises(AlreadyAttached) as caught:
                self.world.plug_anywhere(network, named("vm1", "tap7"))
            self.assertEqual("secret" in caught.exception.detail, told)
            self.assertIn("tap7", caught.exception.detail)
        with self.assertRaises(AlreadyAttached) as caught:
            self.world.plug_anywhere(self.mine, "secret")
        self.assertNotIn(self.other.id, caught.exception.detail)
        self.assertNotIn("umbrella", caught.exception.detail)


class CountTests(SynchronousTestCase):
    """What each tenant has is counted with each change; ``check`` in the world holds it against a fresh count."""

    def test_counts(self) -> None:
        world = World()
        network = world.network("a", "acme")
        world.network("b", "umbrella")
        port = world.port(network)
        world.plug(port, "vm1")
        for what in ("networks", "ports", "attachments", "tunnels"):
            expected = {"networks": 2, "tunnels": 0}.get(what, 1)
            self.assertEqual(world.state.count(what), expected, what)
            self.assertEqual(world.state.count(what, "acme"), min(expected, 1), what)
        world.unplug(port)
        world.delete_network(network)
        self.assertEqual([world.state.count(what, "acme") for what in ("networks", "ports", "attachments")], [0, 0, 0])
        self.assertEqual(world.state.count("networks"), 1)
