"""A real Envoy under a configuration of `deploy/`, with what it asks, what stands behind it, and who comes to it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from extauthz.cli.demo.envoy import Proxy
from extauthz.cli.demo.web import Page, WebServer
from tests.deploy.recorder import Recorder
from tests.redis.certificates import Authority

Config = dict[str, Any]
TLS: Final = "-tls"
"""What the name of the second listener ends in: the same one behind mutual TLS."""
PATIENCE: Final = "10s"
_TYPES: Final = "type.googleapis.com/envoy.extensions"


def _echo(path: str, headers: list[tuple[str, str]], method: str) -> Page:
    return 200, {"path": path, "headers": headers}


class Scene:
    """Envoy between a client with a certificate, a recorder and an upstream. To be used in a `with`."""

    def __init__(self, bootstrap: Config, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = Authority(folder)
        self.ca, self.client = authority.ca, authority.issue("client.example")
        self.recorder, self.upstream = Recorder(folder), WebServer(_echo)
        self.upstream.start()
        try:
            authz = self.recorder.socket if '"pipe"' in json.dumps(bootstrap) else self.recorder.port
            placed = place(bootstrap, authz, self.upstream.port)
            self.envoy = Proxy(with_tls(placed, self.ca, authority.issue("web.example")), folder)
        except BaseException:
            self._stop_servers()
            raise

    @property
    def port(self) -> int:
        """Where clients come in."""
        return self.envoy.port

    @property
    def tls_port(self) -> int:
        """Where clients with a certificate come in."""
        (port,) = (port for name, port in self.envoy.ports.items() if name.endswith(TLS))
        return port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.envoy.stop()
        self._stop_servers()

    def _stop_servers(self) -> None:
        self.upstream.stop()
        self.recorder.stop()


def place(bootstrap: Config, authz: Path | int, upstream_port: int) -> Config:
    """The same configuration on free ports of loopback: what is said at the lines marked CHANGE, and patience.

    The cluster whose name has `extauthz` in it leads to `authz`, a socket or a port; all others lead to the upstream.
    What is asked in these tests is what is answered, not how soon.
    """
    placed = copy.deepcopy(bootstrap)
    _be_patient(placed)
    placed["admin"] = {"address": loopback(0)}
    resources = placed["static_resources"]
    for listener in resources["listeners"]:
        listener["address"] = loopback(0)
    for cluster in resources["clusters"]:
        ours = {"pipe": {"path": str(authz)}} if isinstance(authz, Path) else loopback(authz)
        address = ours if "extauthz" in cluster["name"] else loopback(upstream_port)
        cluster["connect_timeout"] = PATIENCE
        cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return placed


def _be_patient(node: Any) -> None:
    """Give each Check ten seconds."""
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _be_patient(inner)
    if isinstance(node, dict) and "envoy_grpc" in node:
        node["timeout"] = PATIENCE


def with_tls(bootstrap: Config, ca: Path, pair: tuple[Path, Path]) -> Config:
    """With each listener a second time, behind mutual TLS."""
    whole = copy.deepcopy(bootstrap)
    listeners = whole["static_resources"]["listeners"]
    chain, key = ({"filename": str(path)} for path in pair)
    context = {
        "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificates": [{"certificate_chain": chain, "private_key": key}],
            "validation_context": {"trusted_ca": {"filename": str(ca)}},
        },
    }
    for listener in list(listeners):
        second = copy.deepcopy(listener)
        second["name"] += TLS
        second["filter_chains"][0]["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": context,
        }
        listeners.append(second)
    return whole


def loopback(port: int) -> Config:
    """An address."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
