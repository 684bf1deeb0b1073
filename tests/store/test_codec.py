from __future__ import annotations

import json

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.core.model import Attachment, Event, Network, Port
from quantumd.store.codec import decode, encode
from tests.store.records import EVENTS, LEFTOVER, NETWORK, RECORDS, TOKEN, TUNNEL, VETH

_TEXT = st.text(st.characters(codec="utf-8"))
_JSON = st.dictionaries(
    _TEXT,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | _TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(_TEXT, inner),
        max_leaves=8,
    ),
)


class CodecTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        for value in (*RECORDS, TOKEN, *EVENTS, LEFTOVER):
            self.assertEqual(value, decode(type(value), encode(value)))

    def test_every_field_is_written(self) -> None:
        """Also those that have their default, so that a row means the same after a default has changed."""
        for value in (*RECORDS, TOKEN, *EVENTS, LEFTOVER):
            self.assertEqual({field.name for field in attrs.fields(type(value))}, set(json.loads(encode(value))))
        self.assertIn("force", json.loads(encode(TUNNEL))["form"])

    def test_the_examples_exercise_every_field(self) -> None:
        """The golden files show nothing about a field that they leave at its default."""
        for value in (NETWORK, VETH, VETH.form, VETH.form.device, TUNNEL.form.tunnel, EVENTS[0]):
            for field in attrs.fields(type(value)):
                if field.name in ("type", "vlan", "tunnel", "device") and value is VETH.form:
                    continue
                default = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type,union-attr]
                self.assertNotEqual(default, getattr(value, field.name), field.name)

    @given(_TEXT, _JSON, _JSON)
    def test_any_content(self, name: str, options: dict[str, object], plugin: dict[str, object]) -> None:
        network = attrs.evolve(NETWORK, name=name, options=options, plugin=plugin)
        self.assertEqual(network, decode(Network, encode(network)))

    def test_refuses(self) -> None:
        """What encode did not write is refused, whatever is wrong with it."""
        body = json.loads(encode(NETWORK))
        without = {key: value for key, value in body.items() if key != "name"}
        for kind, text in (
            (Network, "{"),
            (Network, "[]"),
            (Network, json.dumps(without)),
            (Network, json.dumps({**body, "colour": "blue"})),
            (Network, json.dumps({**body, "status": "Lost"})),
            (Network, json.dumps({**body, "serial": "x"})),
            (Network, json.dumps({**body, "fault": 7})),
            (Port, json.dumps(body)),
            (Attachment, json.dumps({**json.loads(encode(VETH)), "form": None})),
            (Event, "null"),
        ):
            with self.assertRaises(ValueError, msg=text):
                decode(kind, text)
