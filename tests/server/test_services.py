"""Services: the addresses and node ports they are given, and the rules for them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.serving import MERGE, Answer, Api, serving

SERVICES = "/api/v1/namespaces/default/services"

Json = dict[str, Any]


def service(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], **spec},
    }


async def create(served: Api, name: str, **spec: Any) -> Answer:
    return await served.post(SERVICES, service(name, **spec))


async def test_a_service_gets_an_address_of_its_own_and_keeps_it() -> None:
    async with serving() as served:
        first, second = (await create(served, "a")).json, (await create(served, "b")).json
        addresses = {first["spec"]["clusterIP"], second["spec"]["clusterIP"]}
        assert len(addresses) == 2
        assert all(address.startswith("127.10.") for address in addresses)
        assert first["spec"]["clusterIPs"] == [first["spec"]["clusterIP"]]
        assert first["spec"]["ipFamilies"] == ["IPv4"]
        replaced = service("a")
        replaced["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"]
        assert (await served.put(f"{SERVICES}/a", replaced)).json["spec"]["clusterIP"] == first["spec"][
            "clusterIP"
        ]
        changed = await served.patch(f"{SERVICES}/a", {"spec": {"clusterIP": "127.10.9.9"}}, MERGE)
        assert changed.status == 422


async def test_an_address_is_free_again_once_its_service_is_gone() -> None:
    async with serving() as served:
        assert (await create(served, "a", clusterIP="127.10.3.4")).status == 201
        taken = await create(served, "b", clusterIP="127.10.3.4")
        assert taken.status == 422
        assert "already allocated" in taken.json["message"]
        await served.delete(f"{SERVICES}/a")
        assert (await create(served, "b", clusterIP="127.10.3.4")).status == 201


async def test_node_ports_come_and_go_with_the_type() -> None:
    async with serving() as served:
        opened = (await create(served, "a", type="NodePort")).json
        number = opened["spec"]["ports"][0]["nodePort"]
        assert 30_000 <= number < 32_768
        taken = await create(served, "b", type="NodePort", ports=[{"port": 80, "nodePort": number}])
        assert taken.status == 422
        closed = (await served.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}}, MERGE)).json
        assert "nodePort" not in closed["spec"]["ports"][0]
        again = await create(served, "b", type="NodePort", ports=[{"port": 80, "nodePort": number}])
        assert again.status == 201


async def test_an_external_name_has_no_address_and_gets_one_with_its_type() -> None:
    async with serving() as served:
        alias = (await create(served, "a", type="ExternalName", externalName="example.com", ports=[])).json
        assert "clusterIP" not in alias["spec"]
        body = {"spec": {"type": "ClusterIP", "externalName": None, "ports": [{"port": 80}]}}
        changed = (await served.patch(f"{SERVICES}/a", body, MERGE)).json
        assert changed["spec"]["clusterIP"].startswith("127.10.")


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"ports": []}, "spec.ports"),
        ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name"),
        ({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}, "spec.ports[1].name"),
        ({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}, "spec.ports[1]"),
        ({"ports": [{"port": 70_000}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 80, "protocol": "ICMP"}]}, "spec.ports[0].protocol"),
        ({"ports": [{"port": 80, "nodePort": 30_080}]}, "spec.ports[0].nodePort"),
        ({"ports": [{"port": 80, "targetPort": "Not_A_Name"}]}, "spec.ports[0].targetPort"),
        ({"type": "Magic"}, "spec.type"),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}, "spec.ports[0].nodePort"),
        ({"type": "ExternalName", "ports": []}, "spec.externalName"),
        ({"type": "LoadBalancer", "clusterIP": "None"}, "spec.clusterIPs[0]"),
        ({"sessionAffinity": "Cookie"}, "spec.sessionAffinity"),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        ),
        ({"clusterIP": "10.0.0.1"}, "spec.clusterIPs"),
        ({"clusterIP": "somewhere"}, "spec.clusterIPs[0]"),
        ({"externalTrafficPolicy": "Local"}, "spec.externalTrafficPolicy"),
        ({"ipFamilies": ["IPv6"]}, "spec.ipFamilies"),
    ],
)
async def test_what_is_wrong_is_named(spec: Json, field: str) -> None:
    async with serving() as served:
        answer = await create(served, "wrong", **spec)
        assert answer.refusal == (422, "Invalid"), answer.json
        assert field in answer.wrong_fields


async def test_a_headless_service_needs_no_ports() -> None:
    async with serving() as served:
        made = await create(served, "quiet", clusterIP="None", ports=[])
        assert made.status == 201
        assert made.json["spec"]["clusterIP"] == "None"
