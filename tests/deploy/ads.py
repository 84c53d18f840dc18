"""Asks an xDS server for what it would send to one Envoy, as JSON. It runs apart, with xds-protos on its path.

`PYTHONPATH=.venv/xds-protos python tests/deploy/ads.py HOST:PORT NODE_ID < METADATA_JSON`. What a plain Envoy does not
know, and what decides nothing over requests, is left out.
"""

from __future__ import annotations

import importlib
import json
import queue
import sys
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict

_TYPES: Final = "type.googleapis.com/"


def main() -> None:
    """The command."""
    cluster_pb2 = importlib.import_module("envoy.config.cluster.v3.cluster_pb2")
    endpoint_pb2 = importlib.import_module("envoy.config.endpoint.v3.endpoint_pb2")
    listener_pb2 = importlib.import_module("envoy.config.listener.v3.listener_pb2")
    route_pb2 = importlib.import_module("envoy.config.route.v3.route_pb2")

    _know_extensions(Path(str(listener_pb2.__file__)).parents[4])
    stream = _Stream(sys.argv[1], sys.argv[2], json.load(sys.stdin))
    listeners = stream.ask("envoy.config.listener.v3.Listener", listener_pb2.Listener)
    routes = sorted({name for each in listeners for name in _routes(each)})
    clusters = stream.ask("envoy.config.cluster.v3.Cluster", cluster_pb2.Cluster)
    remote = sorted(each.name for each in clusters if each.HasField("eds_cluster_config"))
    kinds = {
        "routes": ("envoy.config.route.v3.RouteConfiguration", route_pb2.RouteConfiguration, routes),
        "endpoints": ("envoy.config.endpoint.v3.ClusterLoadAssignment", endpoint_pb2.ClusterLoadAssignment, remote),
    }
    found = {"listeners": [_json(each) for each in listeners], "clusters": [_json(each) for each in clusters]}
    for name, (kind, made, names) in kinds.items():
        found[name] = [_json(each) for each in (stream.ask(kind, made, names) if names else ())]
    json.dump(found, sys.stdout)


def _know_extensions(root: Path) -> None:
    """Whatever may stand in an Any."""
    for path in sorted((root / "envoy" / "extensions").rglob("*_pb2.py")):
        importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


class _Stream:
    """One aggregated stream (ADS), asked one type after the other."""

    def __init__(self, target: str, node: str, metadata: dict[str, Any]) -> None:
        discovery_pb2 = importlib.import_module("envoy.service.discovery.v3.discovery_pb2")

        self._request = discovery_pb2.DiscoveryRequest
        self._node = ParseDict({"id": node, "metadata": metadata}, discovery_pb2.DiscoveryRequest().node)
        self._asked: queue.SimpleQueue[Any] = queue.SimpleQueue()
        call = grpc.insecure_channel(target).stream_stream(
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
            request_serializer=discovery_pb2.DiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DiscoveryResponse.FromString,
        )
        self._answers = call(iter(self._asked.get, None), timeout=60, wait_for_ready=True)

    def ask(self, kind: str, made: Any, names: Any = ()) -> list[Any]:
        self._asked.put(self._request(node=self._node, type_url=_TYPES + kind, resource_names=names))
        for answer in self._answers:
            if answer.type_url == _TYPES + kind:
                return [made.FromString(each.value) for each in answer.resources]
        raise AssertionError("the stream ended")


def _managers(listener: Any) -> Any:
    http_connection_manager_pb2 = importlib.import_module(
        "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2"
    )

    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for each in chain.filters:
            if each.typed_config.Is(http_connection_manager_pb2.HttpConnectionManager.DESCRIPTOR):
                manager = http_connection_manager_pb2.HttpConnectionManager()
                each.typed_config.Unpack(manager)
                yield each, manager


def _routes(listener: Any) -> list[str]:
    return [manager.rds.route_config_name for _, manager in _managers(listener) if manager.HasField("rds")]


def _json(message: Any) -> Any:
    if message.DESCRIPTOR.name == "Listener":
        _strip_listener(message)
    elif message.DESCRIPTOR.name == "Cluster":
        for name in ("filters", "transport_socket", "transport_socket_matches", "metadata"):
            message.ClearField(name)
    return MessageToDict(message, preserving_proto_field_name=True)


def _strip_listener(listener: Any) -> None:
    """Leave what decides over requests: a plain Envoy knows no more."""
    for each, manager in _managers(listener):
        for name in ("access_log", "request_id_extension", "tracing"):
            manager.ClearField(name)
        kept = [one for one in manager.http_filters if one.name in _KNOWN]
        del manager.http_filters[:]
        manager.http_filters.extend(kept)
        each.typed_config.Pack(manager)
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        chain.ClearField("transport_socket")
        http = [each for each in chain.filters if each.name == "envoy.filters.network.http_connection_manager"]
        del chain.filters[:]
        chain.filters.extend(http)
    listener.ClearField("access_log")
    listener.ClearField("listener_filters")


_KNOWN: Final = {"envoy.filters.http.rbac", "envoy.filters.http.ext_authz", "envoy.filters.http.router"}

if __name__ == "__main__":
    main()
