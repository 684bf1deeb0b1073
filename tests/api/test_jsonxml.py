"""The one rule between JSON and XML."""

from __future__ import annotations

from typing import Any

from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from quantumd.api.jsonxml import from_xml, singular, to_xml
from quantumd.core.errors import BadRequest
from tests.api.support import ApiTestCase

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff").filter(
    lambda char: char >= " " or char in "\t\n\r"
))  # fmt: skip
KEYS = st.text(min_size=0, max_size=8)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "string": TEXT,
    "integer": st.integers(-(10**17), 10**17),
    "boolean": st.booleans(),
    "number": st.floats(allow_nan=False, allow_infinity=False),
}


ANYTHING = st.recursive(
    st.text(max_size=8) | st.none() | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def typed(draw: st.DrawFn, depth: int = 3) -> tuple[dict[str, Any], Any]:
    """A schema, and a value of it."""
    kinds = [*SCALARS, "object", "array"] if depth else list(SCALARS)
    kind = draw(st.sampled_from(kinds))
    if kind == "object":
        members = draw(st.dictionaries(KEYS, typed(depth - 1), max_size=4))  # type: ignore[call-arg]
        properties = {name: schema for name, (schema, _) in members.items()}
        return {"type": "object", "properties": properties}, {name: value for name, (_, value) in members.items()}
    if kind == "array":
        schema, _ = draw(typed(depth - 1))  # type: ignore[call-arg]
        if schema["type"] not in SCALARS:
            return {"type": "array", "items": {"type": "integer"}}, draw(st.lists(SCALARS["integer"], max_size=3))
        return {"type": "array", "items": schema}, draw(st.lists(SCALARS[schema["type"]], max_size=3))
    return {"type": kind}, draw(SCALARS[kind])


class RoundTripTests(SynchronousTestCase):
    """What is written is read as the same, given the types."""

    @settings(deadline=None)
    @given(st.text(min_size=1, max_size=8), typed())
    def test_round_trip(self, key: str, member: tuple[dict[str, Any], Any]) -> None:
        schema, value = member
        whole = {"type": "object", "properties": {key: {"type": "object", "properties": {"x": schema}}}}
        document = to_xml({key: {"x": value}}, "root").decode()
        self.assertEqual(from_xml(document, whole), {key: {"x": value}})

    @settings(deadline=None, max_examples=50)
    @given(ANYTHING)
    def test_never_broken(self, value: Any) -> None:
        """Whatever is written, it is XML."""
        fromstring(to_xml({"root": value}, "root"))


class WriteTests(SynchronousTestCase):
    """The examples of the contract."""

    def written(self, value: Any) -> str:
        return to_xml(value, "root").decode().partition("\n")[2].replace(" />", "/>")

    def test_examples(self) -> None:
        network = {"id": "1", "name": "blue", "fault": None, "revision": 2, "options": {}, "plugin": {"bridge": "q-1a"}}
        self.assertEqual(
            self.written({"network": network}),
            '<network id="1" name="blue" revision="2"><options/><plugin bridge="q-1a"/></network>',
        )
        self.assertEqual(self.written({"networks": [{"id": "1"}]}), '<networks><network id="1"/></networks>')
        self.assertEqual(self.written({"networks": []}), "<networks/>")
        port = {"id": "1", "attachment": {"id": "vif1", "type": "vif", "status": "Attached/UP"}}
        self.assertEqual(
            self.written({"ports": [port, {"id": "2", "attachment": None}]}),
            '<ports><port id="1"><attachment id="vif1" type="vif" status="Attached/UP"/></port><port id="2"/></ports>',
        )

    def test_the_rest(self) -> None:
        self.assertEqual(self.written({"a": 1, "b": True}), '<root a="1" b="true"/>')
        self.assertEqual(self.written({"a": ["x", 1]}), "<a><item>x</item><item>1</item></a>")
        self.assertEqual(self.written({"x": {"8021q": False, "$id": 1}}), '<x _x0038_021q="false" _x0024_id="1"/>')
        self.assertEqual(self.written({"x": {"a": "\0\ud800<&\"'\n"}}), '<x a="\ufffd\ufffd&lt;&amp;&quot;\'&#10;"/>')
        self.assertEqual(self.written({"a": ["x\r\n", "\t"]}), "<a><item>x&#13;\n</item><item>\t</item></a>")
        self.assertEqual([singular(name) for name in ("entries", "networks", "class", "s", "enum")],
                         ["entry", "network", "item", "item", "item"])  # fmt: skip


class ReadTests(ApiTestCase):
    """XML as people write it, against the site."""

    def made(self, document: str | bytes, **headers: str) -> Any:
        body = document if isinstance(document, bytes) else document.encode()
        response = self.ask("POST", "/networks", body, {"Content-Type": "application/xml", **headers})
        self.assertEqual(response.status, 202, response.body)
        return response.json["network"]

    def test_forms_of_one_body(self) -> None:
        for document in (
            "<network name='blue'><options mtu='1400'/></network>",
            "<network><name>blue</name><options><mtu>1400</mtu></options></network>",
            "<network name='blue'><options><mtu> 1400 </mtu></options></network>",
            "<network xmlns='http://quantum.example/v1' name='blue'><options mtu='1400'/></network>",
            "<q:network xmlns:q='urn:q' q:name='blue'><q:options mtu='1400'/></q:network>",
            "<network xmlns:a='urn:a' xmlns:b='urn:b'><a:name>blue</a:name><b:options mtu='1400'/></network>",
            "<?xml version='1.0' encoding='UTF-8'?>\n<!-- a comment -->\n<network>\n <name><![CDATA[blue]]></name>"
            "\n <options>\n  <mtu>1400</mtu><!-- c -->\n </options>\n</network>\n",
            "\ufeff<network name='bl&#117;e' xml:lang='en' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'"
            " xsi:schemaLocation='a b'><options mtu='1400'/></network>",
        ):
            network = self.made(document)
            self.assertEqual((network["name"], network["options"]), ("blue", {"mtu": 1400}), document)

    def test_other_ways_to_say_xml(self) -> None:
        self.assertEqual(self.made("<network name='é'/>", **{"Content-Type": "text/xml; charset=utf-8"})["name"], "é")
        response = self.ask("POST", "/networks.xml", b"<network name='a'/>")
        self.assertEqual((response.status, response.headers["content-type"]), (202, "application/xml"))
        self.assertEqual((response.xml.tag, response.xml.get("name")), ("network", "a"))
        mixed = self.ask("POST", "/networks.xml", b'{"network": {"name": "a"}}', {"Content-Type": "application/json"})
        self.assertEqual(mixed.xml.get("status"), "InProgress")

    def test_null(self) -> None:
        path = f"/networks/{self.network(options={'mtu': 1400})}"
        nil = b"""<network xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
            <options><mtu xsi:nil="true"/></options></network>"""
        response = self.ask("PUT", path, nil, {"Content-Type": "application/xml"})
        self.assertEqual(response.json["network"]["options"], {})

    def test_attachment(self) -> None:
        """Types follow from the schema: integers, booleans, and digits that are text."""
        network = self.network()
        path = f"/networks/{network}/ports/{self.port(network)}/attachment.xml"
        body = b"""<attachment id="42"><force>true</force><device create="tap" multi_queue="true">
            <owner_uid>0</owner_uid></device><reference>7</reference></attachment>"""
        response = self.ask("PUT", path, body)
        self.assertEqual(response.status, 202, response.body)
        shown = self.get(path.removesuffix(".xml")).json["attachment"]
        self.assertEqual((shown["id"], shown["reference"]), ("42", "7"))
        self.assertEqual(shown["device"], {"create": "tap", "owner_uid": 0, "multi_queue": True})

    def test_refused(self) -> None:
        before = self.store.state
        for document, paths in (
            ("<network/>", ["network.name"]),
            ("<network name=''/>", ["network.name"]),
            ("<network name='a' nonsense='1'/>", ["network.nonsense"]),
            (
                "<network name='a'><options nonsense='1' mtu='x'/></network>",
                ["network.options.mtu", "network.options.nonsense"],
            ),
            ("<network name='a'><options mtu='+1400'/></network>", ["network.options.mtu"]),
            ("<network name='a'><options mtu='1400.0'/></network>", ["network.options.mtu"]),
            ("<network name='a'><options mtu=''/></network>", ["network.options.mtu"]),
            (f"<network name='a'><options mtu='{'9' * 5000}'/></network>", ["network.options.mtu"]),
            ("<network name='a' options='1'/>", ["network.options"]),
            ("<network><name><b>a</b></name></network>", ["network.name"]),
            ("<network name='a'><name>a</name></network>", ["network.name"]),
            ("<network><name>a</name><name>a</name></network>", ["network.name"]),
            ("<network xmlns:q='urn:q' name='a' q:name='a'/>", ["network.name"]),
            ("<netwrok name='a'/>", ["network", "netwrok"]),
            ("<network name='a'>text</network>", ["body"]),
            ("<network><name>a</name>text</network>", ["body"]),
            ("<network>text</network>", ["network"]),
            ("<network name='a\x01'/>", ["body"]),
            ("<network name='&#1;'/>", ["body"]),
            ("<network name='&nbsp;'/>", ["body"]),
            ("<network name='a'", ["body"]),
            ("<network name='a'/><network name='b'/>", ["body"]),
            ("{}", ["body"]),
            ("<!DOCTYPE network><network name='a'/>", ["body"]),
            ("<!DOCTYPE x [<!ENTITY e 'v'>]><network name='&e;'/>", ["body"]),
            ("<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><network name='&e;'/>", ["body"]),
            ("<!DOCTYPE x SYSTEM 'http://192.0.2.1/x.dtd'><network name='a'/>", ["body"]),
            ("<?xml version='1.0' encoding='latin-1'?><network name='a'/>", ["body"]),
            ("<network>" * 5000, ["body"]),
            ("<network>" + "<a>" * 40 + "</a>" * 40 + "</network>", ["body"]),
        ):
            response = self.ask("POST", "/networks", document.encode(), {"Content-Type": "application/xml"})
            self.assertEqual(response.status, 400, document[:80])
            self.assertEqual(response.paths, paths, document[:80])
        for body in (b"\xff\xfe<\x00", "<network name='é'/>".encode("latin-1"), "<network name='a'/>".encode("utf-16")):
            response = self.ask("POST", "/networks", body, {"Content-Type": "application/xml"})
            self.assertEqual(response.paths, ["body"])
        self.assertEqual(self.store.state, before)

    def test_booleans(self) -> None:
        network = self.network()
        for value in ("1", "True", "yes", ""):
            body = f"<attachment id='a' force='{value}'/>".encode()
            response = self.ask("POST", f"/networks/{network}/attachments.xml", body, {"Accept": "*/*"})
            self.assertEqual(response.status, 400)

    def test_odd_names(self) -> None:
        """An encoded name that decodes to half a surrogate pair is refused as in JSON."""
        with self.assertRaises(BadRequest):
            from_xml("<a>" + "<b>" * 40 + "</b>" * 40 + "</a>", {})
        response = self.ask("POST", "/networks", b"<_xD800_/>", {"Content-Type": "application/xml"})
        self.assertEqual(response.paths, ["?"])
