from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.access import Caller, Role
from quantumd.core.errors import Unauthorized
from quantumd.core.model import Device, Form
from quantumd.core.policy import EVERYTHING, GUESTS, Policy, Powers
from tests.core.support import named, tap, uplink, vxlan

ADMIN = Caller("a", "default", Role.ADMIN)
MEMBER = Caller("m", "acme", Role.MEMBER)
READER = Caller("r", "acme", Role.READER)


def veth(netns: str, name: str | None = None) -> Form:
    return Form(id="v", device=Device(create="veth", netns=netns, ifname="eth0", name=name))


#: What anybody may plug that may write.
HARMLESS = [Form(id="vm1-eth0"), tap("t"), veth("vm1"), Form(id="x", device=Device(create="tap", mac="02::1"))]
#: What reaches for the host.
POWERS = [
    named("x", "eth1"),
    tap("t", "tap7"),
    veth("vm1", "veth7"),
    veth("/proc/1/ns/net"),
    veth("/run/netns/vm1"),
    uplink("u", "eth1"),
    uplink("u", "eth1", 7),
    vxlan("x", "192.0.2.1"),
    Form(id="o", device=Device(create="tap", owner_uid=0)),
    Form(id="o", device=Device(create="tap", owner_gid=0)),
    Form(id="eth1", force=True),
    Form(id="i", device=Device(create="internal")),
    Form(id="g", type="strange"),
]


class DefaultTests(SynchronousTestCase):
    """Without a word in the configuration."""

    def allowed(self, caller: Caller, form: Form, policy: Policy | None = None) -> bool:
        try:
            (policy or Policy()).check_form(caller, form)
        except Unauthorized as refusal:
            assert refusal.detail.endswith(".")
            return False
        return True

    def test_forms(self) -> None:
        for form in HARMLESS:
            self.assertEqual([self.allowed(one, form) for one in (ADMIN, MEMBER, READER)], [True, True, False], form)
        for form in POWERS:
            self.assertEqual([self.allowed(one, form) for one in (ADMIN, MEMBER, READER)], [True, False, False], form)

    def test_options(self) -> None:
        Policy().check_options(MEMBER, {"mtu": 1400})
        Policy().check_options(ADMIN, {"vlan": 7})
        with self.assertRaises(Unauthorized):
            Policy().check_options(MEMBER, {"mtu": 1400, "vlan": 7})

    def test_confined(self) -> None:
        self.assertEqual([Policy().confines(ADMIN), Policy().confines(MEMBER)], [False, True])


class PowerTests(DefaultTests):
    """What the configuration gives or takes."""

    def member(self, form: Form, tenant_id: str = "acme", **powers: object) -> bool:
        policy = Policy({Role.MEMBER: evolve(GUESTS, **powers)})
        return self.allowed(evolve(MEMBER, tenant_id=tenant_id), form, policy)

    def test_devices(self) -> None:
        globs = ("tap*", "vnet*")
        for form, good in (
            (named("x", "tap7"), True),
            (named("x", "vnet0"), True),
            (named("x", "eth1"), False),
            (named("x", "TAP7"), False),
            (tap("x", "tap7"), True),
            (tap("x", "eth1"), False),
            (uplink("x", "tap7"), False),
        ):
            self.assertEqual(self.member(form, devices=globs), good, form)
        self.assertTrue(self.member(uplink("x", "tap7"), devices=globs, forms=("bridge",)))
        self.assertFalse(self.member(uplink("x", "eth7"), devices=globs, forms=("bridge",)))

    def test_tenant(self) -> None:
        """A tenant's name is no glob."""
        globs = ("tap-{tenant}-*",)
        self.assertTrue(self.member(named("x", "tap-acme-1"), devices=globs))
        self.assertFalse(self.member(named("x", "tap-other-1"), devices=globs))
        self.assertFalse(self.member(named("x", "tap-other-1"), tenant_id="*", devices=globs))
        self.assertTrue(self.member(named("x", "tap-*-1"), tenant_id="*", devices=globs))

    def test_namespaces(self) -> None:
        for globs, allowed in (
            ((), []),
            (("vm*",), ["vm1"]),
            (("*",), ["vm1", "host"]),
            (("/*",), ["/proc/1/ns/net", "/run/netns/vm1"]),
            (("/run/netns/vm*",), ["/run/netns/vm1"]),
        ):
            places = ("vm1", "host", "/proc/1/ns/net", "/run/netns/vm1")
            self.assertEqual([one for one in places if self.member(veth(one), netns=globs)], allowed, globs)

    def test_forms_taken(self) -> None:
        self.assertFalse(self.member(Form(id="x"), forms=("tap",)))
        self.assertFalse(self.member(veth("vm1"), forms=("tap", "late")))
        self.assertTrue(self.member(vxlan("x", "192.0.2.1"), forms=("tunnel",)))

    def test_switches(self) -> None:
        self.assertTrue(self.member(Form(id="o", device=Device(create="tap", owner_uid=0)), owners=True))
        self.assertTrue(self.member(Form(id="o", force=True), force=True))

    def test_an_admin_may_be_bound_too(self) -> None:
        policy = Policy({Role.ADMIN: evolve(EVERYTHING, force=False)})
        self.assertFalse(self.allowed(ADMIN, Form(id="o", force=True), policy))
        self.assertTrue(policy.confines(ADMIN))
        self.assertFalse(self.allowed(MEMBER, Form(id="x"), policy))

    def test_powers_are_explicit(self) -> None:
        """Nothing is given by leaving it out."""
        with self.assertRaises(TypeError):
            Powers()  # type: ignore[call-arg]
