from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.claims import claims, excludes
from quantumd.core.model import Attachment, Form
from tests.core.support import named, tap, uplink, vxlan

NOW = "2026-01-01T00:00:00Z"


def attachment(form: Form, network: str = "n", port: str = "p", device: str | None = None) -> Attachment:
    data = {} if device is None else {"device": device}
    return Attachment(serial=1, network_id=network, port_id=port, form=form, created_at=NOW, updated_at=NOW, data=data)


def clash(one: Attachment, other: Attachment) -> set[object]:
    """The kinds of claim for which the two exclude each other; the answer is the same both ways round."""
    common = [claim for claim in claims(one) if claim in claims(other)]
    found = {claim[0] for claim in common if excludes(one, other, claim)}
    assert found == {claim[0] for claim in common if excludes(other, one, claim)}
    return found


class ClaimTests(SynchronousTestCase):
    def test_an_id_and_a_port_are_for_one(self) -> None:
        one = attachment(Form(id="a"))
        self.assertEqual(clash(one, attachment(Form(id="a"), "n2", "p2")), {"id"})
        self.assertEqual(clash(one, attachment(Form(id="b"))), {"port"})
        self.assertEqual(clash(one, attachment(Form(id="b"), "n2", "p2")), set())

    def test_a_device_by_name_is_for_one_however_it_is_had(self) -> None:
        one = attachment(named("a", "tap7"))
        forms = {
            "foreign": attachment(named("b", "tap7"), "n2", "p2"),
            "made": attachment(tap("b", "tap7"), "n2", "p2"),
            "uplink": attachment(uplink("b", "tap7"), "n2", "p2"),
            "found by the plugin": attachment(Form(id="tap7"), "n2", "p2", device="tap7"),
            "named by the plugin": attachment(tap("b"), "n2", "p2", device="tap7"),
        }
        for what, other in forms.items():
            with self.subTest(what):
                self.assertEqual(clash(one, other), {"device"})

    def test_the_name_that_was_asked_for_counts_over_the_plugins(self) -> None:
        self.assertIn(("device", "tap7", None), claims(attachment(named("a", "tap7"), device="other")))

    def test_one_nic_serves_a_network_on_each_vlan(self) -> None:
        one = attachment(uplink("a", "eth1", 10))
        self.assertEqual(clash(one, attachment(uplink("b", "eth1", 11), "n2", "p2")), set())
        self.assertEqual(clash(one, attachment(uplink("b", "eth1"), "n2", "p2")), set())
        self.assertEqual(clash(one, attachment(uplink("b", "eth1", 10), "n2", "p2")), {"device"})

    def test_a_sub_interface_is_a_device_too(self) -> None:
        one = attachment(uplink("a", "eth1", 10), device="eth1.10")
        self.assertEqual(clash(one, attachment(named("b", "eth1.10"), "n2", "p2")), {"device"})
        self.assertEqual(clash(one, attachment(uplink("b", "eth1", 11), "n2", "p2", device="eth1.11")), set())

    def test_a_tunnel_is_the_networks_and_each_remote_is_for_one(self) -> None:
        one = attachment(vxlan("a", "192.0.2.1"))
        cases = [
            ("another remote of this network", vxlan("b", "192.0.2.2"), "n", set()),
            ("the same remote of this network", vxlan("b", "192.0.2.1"), "n", {"tunnel"}),
            ("another remote of another network", vxlan("b", "192.0.2.2"), "n2", {"tunnel"}),
            ("the same remote of another network", vxlan("b", "192.0.2.1"), "n2", {"tunnel"}),
            ("another VNI", vxlan("b", "192.0.2.1", vni=8), "n2", set()),
            ("another port", vxlan("b", "192.0.2.1", port=4790), "n2", set()),
            ("another local end", vxlan("b", "192.0.2.1", local="192.0.2.9"), "n2", set()),
        ]
        for what, form, network, expected in cases:
            with self.subTest(what):
                self.assertEqual(clash(one, attachment(form, network, "p2")), expected)

    def test_tunnels_may_share_the_device_that_the_plugin_made_for_their_vni_only(self) -> None:
        one = attachment(vxlan("a", "192.0.2.1"), device="vx1")
        self.assertEqual(clash(one, attachment(vxlan("b", "192.0.2.2"), port="p2", device="vx1")), set())
        self.assertEqual(clash(one, attachment(vxlan("b", "192.0.2.2", vni=8), port="p2", device="vx1")), {"device"})
        self.assertEqual(clash(one, attachment(named("b", "vx1"), "n2", "p2")), {"device"})

    def test_reference_and_force_occupy_nothing(self) -> None:
        form = named("a", "tap7")
        self.assertEqual(claims(attachment(form)), claims(attachment(evolve(form, reference="urn:x", force=True))))
