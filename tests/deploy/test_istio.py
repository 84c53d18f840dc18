"""deploy/istio: what a real istiod makes of the mesh, under a real Envoy; and what Istio's published schemas say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from extauthz.cli.demo.envoy import Proxy
from extauthz.cli.demo.issuer import Issuer
from extauthz.cli.inject.sidecar import SOCKET
from extauthz.cli.main import main
from extauthz.model.time import SystemClock
from tests.cluster.apiserver import ApiServer
from tests.cluster.published import Published
from tests.deploy import istiod, probes
from tests.deploy.altered import altered
from tests.deploy.meshes import FORMS, OPTIONS, Mesh, every, every_path_is_asked_about, mesh, misnamed, ours
from tests.deploy.probes import Probe, request
from tests.deploy.recordings import digest, recorded
from tests.deploy.scene import Config, Scene, place
from tests.deploy.serving import ORDERS, serving
from tests.deploy.tools.programs import ISTIOD
from tests.envoy.raw import ask

NO_ISTIOD = "a real istiod skipped: what it made is recorded (make translations builds it)"
envoy = pytest.mark.envoy


def made(source: Mesh) -> Config:
    return recorded("istio", source.source())


def title(option: tuple[str, Any, Probe]) -> str:
    return f"{option[0].rpartition('.')[2]}-{option[2].__name__}"


@envoy
@pytest.mark.parametrize("form", FORMS)
def test_everything_that_the_checks_need_is_done(form: str, tmp_path: Path) -> None:
    with Scene(made(mesh(form)), tmp_path) as scene:
        for probe in (*probes.EVERY, every_path_is_asked_about):
            probe(scene)


@envoy
@pytest.mark.parametrize("option", OPTIONS, ids=title)
def test_without_an_option_something_is_missed(option: tuple[str, Any, Probe], tmp_path: Path) -> None:
    path, value, probe = option
    with Scene(made(mesh("central").altered(path, value)), tmp_path) as scene, pytest.raises(AssertionError):
        probe(scene)


@envoy
def test_a_provider_that_the_mesh_does_not_have_lets_nothing_through(tmp_path: Path) -> None:
    bootstrap = made(misnamed())
    with Scene(bootstrap, tmp_path) as scene:
        assert ask(scene.port, request(b"/api/orders")).status == 403
        assert not scene.recorder.seen


@envoy
@pytest.mark.parametrize("form", FORMS)
def test_a_real_server_is_asked_and_counts(form: str, tmp_path: Path) -> None:
    issuer = Issuer(SystemClock())
    with serving(tmp_path, issuer) as served:
        authz = served.socket if form == "sidecar" else served.port
        proxy = Proxy(place(made(mesh(form)), authz, served.upstream.port), tmp_path)
        try:
            spent = request(ORDERS, b"authorization: Bearer " + issuer.token().encode(), method=b"POST")
            assert [ask(proxy.port, spent).status for _ in range(2)] == [200, 401]
            assert ask(proxy.port, request(ORDERS)).status == 401
        finally:
            proxy.stop()


def test_the_sidecar_is_asked_at_the_socket_that_inject_gives_it() -> None:
    clusters = made(mesh("sidecar"))["static_resources"]["clusters"]
    (own,) = (each["load_assignment"] for each in clusters if "extauthz" in each["name"])
    (endpoints,) = own["endpoints"]
    assert [each["endpoint"]["address"] for each in endpoints["lb_endpoints"]] == [{"pipe": {"path": SOCKET}}]


def test_inject_gives_the_socket_to_a_proxy_that_istio_will_fill_in() -> None:
    proxy = {"name": "istio-proxy", "image": "auto", "restartPolicy": "Always"}
    spec = {"serviceAccountName": "orders", "initContainers": [proxy], "containers": [{"name": "app", "image": "app"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orders"}, "spec": spec}
    command = ("inject", "--image", "extauthz:0.1.0", "--envoy-container", "istio-proxy", "-")
    done = CliRunner().invoke(main, command, input=json.dumps(pod))
    assert done.exit_code == 0, done.stderr
    (found,) = (each for each in yaml.safe_load(done.stdout)["spec"]["initContainers"] if each["name"] == "istio-proxy")
    assert [each["mountPath"] for each in found["volumeMounts"]] == [str(Path(SOCKET).parent)]


@pytest.mark.parametrize("form", FORMS)
def test_envoy_does_not_wait_ten_minutes_as_istio_would(form: str) -> None:
    manager = made(mesh(form))["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (service,) = (
        each["typed_config"]["grpc_service"] for each in manager["http_filters"] if each["name"].endswith("ext_authz")
    )
    assert service["timeout"] == "0.300s"


def test_both_forms_patch_the_same() -> None:
    central, sidecar = ours("central")[-1]["spec"]["configPatches"], ours("sidecar")[-1]["spec"]["configPatches"]
    assert central == altered(sidecar, "*.match.context", "GATEWAY")


def test_objects_that_changed_have_no_recording() -> None:
    with pytest.raises(AssertionError, match="make translations"):
        made(mesh("central").altered("objects.0.metadata.name", "other"))
    assert len({digest(each.source()) for each in every()}) == len(OPTIONS) + len(FORMS) + 1


@pytest.mark.timeout(600)
@pytest.mark.skipif(not ISTIOD.path.exists(), reason=NO_ISTIOD)
def test_what_was_recorded_is_what_istiod_makes(start_apiserver: Callable[..., ApiServer], tmp_path: Path) -> None:
    access = start_apiserver().access
    Published(access).install("istio")
    for form in FORMS:
        assert istiod.translate(ISTIOD.path, access, tmp_path / form, mesh(form)) == made(mesh(form))


@pytest.mark.timeout(300)
def test_the_published_schemas_take_the_objects_and_no_mistyped_one(published: Published) -> None:
    published.install("istio")
    objects = [altered(each, "metadata.namespace", "default") for form in FORMS for each in ours(form)]
    for position, each in enumerate(objects):  # both files have objects of one name
        each["metadata"]["name"] += f"-{position}"
    assert published.refused(*objects) == ""
    wrong = [altered(each, "spec", {**each["spec"], "failClosed": True}) for each in objects]
    assert published.refused(*wrong).count('unknown field "spec.failClosed"') == len(objects)
