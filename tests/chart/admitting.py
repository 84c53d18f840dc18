"""An API server whose release of the chart injects by label, and pods that are sent to it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from extauthz.cli.demo.process import poll_until
from tests.chart.rendering import CHART, NAMESPACE, Object, run
from tests.chart.sidecars import APP, ENVOY, pod
from tests.cluster.apiserver import ApiServer
from tests.unit.keys.servers import ca_pem, server_tls

LABEL: Final = "extauthz.dev/inject"
WANTED: Final = {LABEL: "true"}
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Made:
    """What the API server said to a pod."""

    status: int
    body: Object
    warnings: str

    @property
    def spec(self) -> Object:
        """Of a pod that it took."""
        assert self.status < 300, self.body
        found: Object = self.body["spec"]
        return found

    @property
    def template(self) -> Object:
        """What was sent, as it came out: without what tells one pod from another."""
        metadata = self.body["metadata"]
        labels = {name: text for name, text in metadata.get("labels", {}).items() if name != LABEL}
        return {"metadata": {"labels": labels, "annotations": metadata.get("annotations")}, "spec": self.spec}

    @property
    def message(self) -> str:
        """Why it was refused."""
        assert self.status >= 400, self.body
        return str(self.body["message"])

    @property
    def told(self) -> str:
        """Why it was refused, or what it was warned of."""
        return self.message if self.status >= 400 else self.warnings

    @property
    def sidecars(self) -> list[Object]:
        """The containers of our name."""
        return [each for each in self.spec.get("initContainers", []) if each["name"] == "extauthz"]


class Admission:
    """One release on an API server of its own."""

    def __init__(self, helm: str, server: ApiServer, home: Path) -> None:
        self._helm, self._home = helm, home
        self.server = server
        self._kubeconfig = server.access.kubeconfig(namespace=NAMESPACE)
        self._values = home / "values.yaml"
        self._releases = 0

    def release(self, values: Mapping[str, Any]) -> None:
        """Install or upgrade the release, and wait until it is in force."""
        self._releases += 1
        self._values.write_text(json.dumps({"image": {"tag": f"r{self._releases}"}, **values}))
        where = (f"--kubeconfig={self._kubeconfig}", f"--namespace={NAMESPACE}", "--create-namespace")
        command = ("upgrade", "--install", "extauthz", str(CHART), "--values", str(self._values), *where)
        done = run(self._helm, *command, home=self._home)
        assert done.returncode == 0, done.stderr
        self._wait()

    def options(self) -> Object:
        """What `extauthz inject --options` reads, as the release says it."""
        config = self.call("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps/extauthz-inject")
        found: Object = yaml.safe_load(config.body["data"]["inject.yaml"])
        return found

    def make(self, template: Object, namespace: str, *, dry: bool = True, name: str = "pod") -> Made:
        """Create a pod."""
        body = {"apiVersion": "v1", "kind": "Pod", **template}
        body["metadata"] = {**body.get("metadata", {}), "name": name}
        return self.call("POST", f"/api/v1/namespaces/{namespace}/pods", body, dry=dry)

    def patch(self, name: str, namespace: str, changes: list[Object]) -> Made:
        """Change a pod that was made (RFC 6902)."""
        return self.call("PATCH", f"/api/v1/namespaces/{namespace}/pods/{name}", changes, kind="json-patch+json")

    def namespace(self, labels: Mapping[str, str] | None = None) -> str:
        """A new namespace."""
        name = self.server.access.new_namespace()
        self.label(name, labels or {})
        return name

    def label(self, namespace: str, labels: Mapping[str, str]) -> None:
        """Label a namespace, which must be taken."""
        assert self.relabel(namespace, labels).status == 200

    def relabel(self, namespace: str, labels: Mapping[str, str | None]) -> Made:
        """Change labels of a namespace, or take them away."""
        body = {"metadata": {"labels": labels}}
        return self.call("PATCH", f"/api/v1/namespaces/{namespace}", body, kind="merge-patch+json")

    def call(self, method: str, path: str, body: Any = None, *, dry: bool = False, kind: str = "json") -> Made:
        """One call as admin."""
        api = self.server.access.client()
        settings = api.configuration
        headers = {
            "authorization": settings.api_key["BearerToken"],
            "content-type": f"application/{kind}",
        }
        url = f"{settings.host}{path}{'?dryRun=All' if dry else ''}"
        answer = api.rest_client.pool_manager.request(
            method, url, headers=headers, body=json.dumps(body), timeout=_TIMEOUT
        )
        return Made(answer.status, json.loads(answer.data), answer.headers.get("warning", ""))

    def _wait(self) -> None:
        """Policies are followed, so a change is in force a moment later. All are asked."""
        namespace = self.server.access.new_namespace()

        def in_force() -> bool:
            good = self.make(pod(labels=WANTED), namespace)
            bad = self.make(pod(APP, labels=WANTED), namespace)
            odd = self.make(pod(labels={LABEL: "odd"}), namespace)
            told = "no container" in bad.told and "allowed are" in odd.told
            return good.status < 300 and self._is_new(good) and told

        poll_until(in_force, None, "the admission policies", 30.0)

    def _is_new(self, made: Made) -> bool:
        wanted = self.options()
        return [each["image"] for each in made.sidecars] == [wanted["image"]]


def adds_envoy(spec: Object) -> list[Object]:
    """What the webhook of a mesh does to a pod."""
    if any(each["name"] == "envoy" for each in spec["containers"]):
        return []
    return [{"op": "add", "path": "/spec/containers/-", "value": ENVOY}]


@contextmanager
def webhook(
    admission: Admission, namespace: str, folder: Path, change: Callable[[Object], list[Object]]
) -> Iterator[None]:
    """A mutating webhook for the pods of a namespace, asked again when a pod was changed after it."""
    asked = threading.Event()

    def answer(review: Object) -> Object:
        asked.set()
        patch = json.dumps(change(review["request"]["object"]["spec"])).encode()
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch"}
        response["patch"] = base64.b64encode(patch).decode()
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}

    with _reviewing(answer, folder) as port:
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        made = admission.call("POST", path, _webhook(namespace, port))
        assert made.status == 201, made.body
        try:
            poll_until(
                lambda: admission.make(pod(), namespace).status > 0 and asked.is_set(), None, "the webhook", 20.0
            )
            yield
        finally:
            admission.call("DELETE", f"{path}/{namespace}", {})


def _webhook(namespace: str, port: int) -> Object:
    authority = base64.b64encode(ca_pem().encode()).decode()
    only = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    hook = {
        "name": "mesh.tests.example",
        "clientConfig": {"url": f"https://localhost:{port}/", "caBundle": authority},
        "rules": [rule],
        "namespaceSelector": only,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "reinvocationPolicy": "IfNeeded",
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [hook],
    }


@contextmanager
def _reviewing(answer: Callable[[Object], Object], folder: Path) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = json.dumps(answer(review)).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = server_tls(folder).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
