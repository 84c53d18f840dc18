"""deploy/envoy-gateway: what Envoy Gateway itself makes of the objects, under a real Envoy; what its schemas say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extauthz.cli.demo.envoy import Proxy
from extauthz.cli.demo.issuer import Issuer
from extauthz.model.time import SystemClock
from tests.cluster.published import Published
from tests.deploy import probes
from tests.deploy.altered import altered
from tests.deploy.gateways import OPTIONS, OURS, changed, every, whole
from tests.deploy.probes import Probe, request
from tests.deploy.recordings import digest, recorded
from tests.deploy.scene import Config, Scene, place
from tests.deploy.serving import ORDERS, serving
from tests.deploy.tools.programs import EGCTL
from tests.deploy.translated import Objects, translate
from tests.envoy.raw import ask

NO_EGCTL = "translation by Envoy Gateway itself skipped: the recorded one is used (make translations builds egctl)"
envoy = pytest.mark.envoy


def made(objects: Objects) -> Config:
    return recorded("envoy-gateway", objects)


def title(option: tuple[str, Any, Probe]) -> str:
    return f"{option[0].rpartition('.')[2]}-{option[2].__name__}"


@envoy
def test_everything_that_the_checks_need_is_done(tmp_path: Path) -> None:
    with Scene(made(whole()), tmp_path) as scene:
        for probe in (*probes.EVERY, probes.a_client_cannot_claim_a_scheme):
            probe(scene)


@envoy
@pytest.mark.parametrize("option", OPTIONS, ids=title)
def test_without_an_option_something_is_missed(option: tuple[str, Any, Probe], tmp_path: Path) -> None:
    path, value, probe = option
    with Scene(made(changed(path, value)), tmp_path) as scene, pytest.raises(AssertionError):
        probe(scene)


@envoy
def test_a_real_server_is_asked_and_counts(tmp_path: Path) -> None:
    issuer = Issuer(SystemClock())
    with serving(tmp_path, issuer) as served:
        proxy = Proxy(place(made(whole()), served.port, served.upstream.port), tmp_path)
        try:
            spent = request(ORDERS, b"authorization: Bearer " + issuer.token().encode(), method=b"POST")
            assert [ask(proxy.port, spent).status for _ in range(2)] == [200, 401]
            assert ask(proxy.port, request(ORDERS)).status == 401
        finally:
            proxy.stop()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not EGCTL.path.exists(), reason=NO_EGCTL)
def test_what_was_recorded_is_what_envoy_gateway_makes() -> None:
    assert translate(EGCTL.path, whole()) == made(whole())


def test_objects_that_changed_have_no_recording() -> None:
    with pytest.raises(AssertionError, match="make translations"):
        made(changed("0.spec.extAuth.timeout", "301ms"))
    assert len({digest(each) for each in every()}) == len(OPTIONS) + 1


@pytest.mark.timeout(300)
def test_the_published_schemas_take_the_objects_and_no_mistyped_one(published: Published) -> None:
    published.install("gateway-api-experimental", "envoy-gateway")
    assert published.refused(*placed(OURS)) == ""
    wrong = [altered(each, "spec", {**each["spec"], "failClosed": True}) for each in OURS]
    assert published.refused(*placed(wrong)).count('unknown field "spec.failClosed"') == len(OURS)


def placed(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """In a namespace that is there."""
    return [altered(each, "metadata.namespace", "default") for each in objects]
