"""The root, extensions, health, metrics, and the OpenAPI document."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from attrs import evolve
from jsonschema_rs import Draft202012Validator, meta
from openapi_spec_validator import OpenAPIV31SpecValidator
from prometheus_client.parser import text_string_to_metric_families

import quantumd
from quantumd.api.routes import ROUTES
from quantumd.core.errors import all_faults
from tests.api.support import NO_ID, OPEN, ApiTestCase


class PageTests(ApiTestCase):
    """What a client begins with."""

    def test_root(self) -> None:
        root = self.get("/").json
        self.assertEqual(list(root), ["service", "version", "api_version", "plugin", "links"])
        self.assertEqual((root["service"], root["version"]), ("quantumd", quantumd.__version__))
        self.assertEqual((root["plugin"]["name"], root["plugin"]["status"]), ("memory", "up"))
        self.assertIsInstance(root["plugin"]["capabilities"], dict)
        for link in root["links"].values():
            self.assertEqual(self.ask("HEAD", link).status, 200, link)
        xml = self.get("/", Accept="application/xml").xml
        self.assertEqual((xml.tag, xml.find("plugin").get("name")), ("quantumd", "memory"))

    def test_extensions(self) -> None:
        body = self.get("/extensions").json
        self.assertEqual(list(body), ["network_options", "port_options", "attachment_types", "capabilities"])
        for schema in (body["network_options"], body["port_options"]):
            meta.validate(schema)
        self.assertEqual(list(body["attachment_types"]), ["vif", "bridge", "tunnel"])
        for kind in body["attachment_types"].values():
            meta.validate(kind["schema"])
        vif = Draft202012Validator(body["attachment_types"]["vif"]["schema"])
        self.assertTrue(vif.is_valid({"id": "a", "device": {"create": "tap"}}))
        self.assertFalse(vif.is_valid({"id": "a", "vlan": 5}))
        self.assertEqual(self.get("/extensions.xml").xml.tag, "extensions")

    def test_health(self) -> None:
        response = self.get("/health")
        self.assertEqual((response.status, response.json), (200, {"status": "up", "reason": None}))

    def test_metrics(self) -> None:
        self.network()
        self.settle()
        self.get("/nonsense")
        response = self.get("/metrics", Accept="text/plain;version=0.0.4, */*;q=0.1")
        self.assertTrue(response.headers["content-type"].startswith("text/plain; version=0.0.4"))
        samples = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(response.body.decode())
            for sample in family.samples
        }
        self.assertEqual(samples["quantumd_resources", "Active", "network"], 1)
        self.assertEqual(samples["quantumd_resources", "Failed", "port"], 0)
        self.assertEqual(samples["quantumd_requests_total", "202", "create_network"], 1)
        self.assertEqual(samples["quantumd_requests_total", "404", "none"], 1)
        self.assertEqual(samples["quantumd_request_seconds_count", "create_network"], 1)
        self.assertEqual(samples[("quantumd_plugin_up",)], 1)

    def test_no_reactor_is_installed(self) -> None:
        """What of prometheus_client chooses a reactor for everybody is left alone."""
        code = "import sys, quantumd.api.site; sys.exit('prometheus_client.twisted' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


class OpenApiTests(ApiTestCase):
    """The document, and that it tells the truth."""

    def setUp(self) -> None:
        super().setUp()
        self.document: Any = self.get("/openapi.json").json

    def operations(self) -> dict[str, Any]:
        return {
            operation["operationId"]: operation
            for path in self.document["paths"].values()
            for operation in path.values()
        }

    def test_valid(self) -> None:
        OpenAPIV31SpecValidator(self.document).validate()
        for name, schema in self.document["components"]["schemas"].items():
            meta.validate(schema)
            self.assertTrue(name[0].isupper())

    def test_every_route(self) -> None:
        """What the application serves is in the document, and the other way round."""
        served = {
            (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
            for rule in self.site.app.klein.url_map.iter_rules()
            for method in rule.methods - {"HEAD", "OPTIONS"}
        }
        told = {(verb.upper(), path) for path, item in self.document["paths"].items() for verb in item}
        self.assertEqual(served, told)
        self.assertEqual(len(told), len(ROUTES))

    def test_both_media_types(self) -> None:
        alone = {"follow_events", "show_openapi", "show_metrics"}
        for name, operation in self.operations().items():
            if "requestBody" in operation:
                self.assertEqual(set(operation["requestBody"]["content"]), {"application/json", "application/xml"})
            for status, response in operation["responses"].items():
                if status == "204":
                    self.assertNotIn("content", response)
                    continue
                kinds = set(response["content"])
                if int(status) >= 400 and name != "show_health":
                    self.assertEqual(kinds, {"application/problem+json", "application/problem+xml"})
                elif name not in alone and int(status) < 400:
                    self.assertEqual(kinds, {"application/json", "application/xml"})

    def test_the_contracts_faults(self) -> None:
        """Each operation lists at least the statuses of the contract's table."""
        table = {
            "list_networks": "400 401 500",
            "show_network": "400 401 404 500",
            "create_network": "400 401 409 413 500 510",
            "update_network": "400 401 404 412 500 510",
            "delete_network": "400 401 404 412 421 500 510",
            "list_ports": "400 401 404 500",
            "show_port": "400 401 404 500",
            "create_port": "400 401 404 409 413 500 510",
            "delete_port": "400 401 404 412 421 500 510",
            "show_attachment": "400 401 404 500",
            "plug_attachment": "400 401 404 412 413 423 424 500 510",
            "unplug_attachment": "400 401 404 412 500 510",
            "list_network_attachments": "400 401 404 500",
            "plug_anywhere": "400 401 404 413 423 424 500 510",
            "list_attachments": "400 401 500",
            "follow_events": "401",
        }
        operations = self.operations()
        for name, statuses in table.items():
            self.assertLessEqual(set(statuses.split()), set(operations[name]["responses"]), name)
        self.assertEqual(set(self.document["x-faults"]), set(all_faults()))

    def test_replies_fit(self) -> None:
        """What is really answered is what the document says."""
        network = self.network(options={"mtu": 1400})
        port = self.port(network)
        self.plug(network, port, "t", type="tunnel", tunnel={"kind": "vxlan", "remote": "192.0.2.1", "vni": 1})
        self.settle()
        self.put_token(NO_ID, "acme", "reader", "its secret")
        parameters = {"network_id": network, "port_id": port, "name": "NotFound", "token_id": NO_ID}
        for path, item in self.document["paths"].items():
            if "get" not in item or path in ("/events", "/metrics"):
                continue
            response = self.get(path.format(**parameters))
            self.fits(
                response.json, item["get"]["responses"][str(response.status)]["content"]["application/json"]["schema"]
            )
        problem = self.post("/networks", {"network": {}})
        self.fits(problem.json, {"$ref": "#/components/schemas/Problem"})

    def fits(self, value: Any, schema: Any) -> None:
        whole = {"components": self.document["components"], **schema}
        self.assertEqual([error.message for error in Draft202012Validator(whole).iter_errors(value)], [])

    def test_bodies_fit(self) -> None:
        """A body that the document allows is taken, one that it forbids is not (where a format does not decide)."""
        network = self.network()
        for body in (
            {"id": "a"},
            {"id": "a", "device": {"create": "tap"}},
            {"id": "a", "device": {"create": "veth", "netns": "n", "ifname": "x"}, "force": True},
            {"id": "a", "type": "bridge", "device": {"name": "x"}, "vlan": 7},
            {"id": "a", "type": "tunnel", "tunnel": {"kind": "vxlan", "remote": "192.0.2.1", "vni": 1}},
            {"id": "a", "vlan": 5},
            {"id": "a", "device": {}},
            {"id": "a", "device": {"create": "veth"}},
            {"id": "a", "type": "bridge"},
            {"id": "a", "type": "tunnel", "device": {"name": "x"}},
            {},
        ):
            schema = {"components": self.document["components"], "$ref": "#/components/schemas/AttachmentPlug"}
            allowed = Draft202012Validator(schema).is_valid({"attachment": body})
            response = self.post(f"/networks/{network}/attachments", {"attachment": body})
            self.assertEqual(response.status, 202 if allowed else 400, body)
            if allowed:
                place = response.headers["location"]
                self.delete(place)
                self.settle()

    def test_security(self) -> None:
        self.assertEqual(self.operations()["list_networks"]["security"], [])


class SecureOpenApiTests(ApiTestCase):
    """With tokens, and the standard codes."""

    settings = evolve(OPEN, auth_mode="token", status_codes="standard")

    def test_document(self) -> None:
        document = self.get("/openapi.json").json
        OpenAPIV31SpecValidator(document).validate()
        self.assertEqual(document["paths"]["/networks"]["get"]["security"], [{"bearer": []}])
        self.assertEqual(document["paths"]["/health"]["get"]["security"], [])
        statuses = set(document["paths"]["/networks/{network_id}"]["delete"]["responses"])
        self.assertLessEqual({"409", "502", "503"}, statuses)
        self.assertFalse({"421", "510"} & statuses)
