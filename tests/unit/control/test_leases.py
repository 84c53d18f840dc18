"""The Lease of a replica, and that of a leader, call by call."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from extauthz.cli.demo.process import poll_until
from extauthz.control.leader import Denied, Lease
from extauthz.control.leases import VERSION_ANNOTATION, ClusterLease, ReplicaLease
from extauthz.control.writing import Unreached
from extauthz.model.time import Instant, Seconds, SystemClock
from tests.unit.control.writable import Call, WritableApi, writable

ALL = "/apis/coordination.k8s.io/v1/namespaces/ops/leases"
MINE = Lease("me", Seconds(15.0), Instant(100.0), Instant(200.0), 3, "7")
BODY = {
    "metadata": {"resourceVersion": "9"},
    "spec": {
        "holderIdentity": "me", "leaseDurationSeconds": 15, "leaseTransitions": 3,
        "acquireTime": "1970-01-01T00:01:40.000000Z", "renewTime": "1970-01-01T00:03:20.000000Z",
    },
}  # fmt: skip


@pytest.fixture
def api() -> Iterator[WritableApi]:
    with writable() as api:
        yield api


# The replica's


@pytest.fixture
def replica(api: WritableApi) -> Iterator[ReplicaLease]:
    lease = ReplicaLease(api.client(), "ops", "one", SystemClock())
    yield lease
    lease.stop()


def absent_then_there(call: Call) -> tuple[int, dict[str, str]]:
    return (404, {}) if call.method == "PATCH" else (201, {})


def test_nothing_is_told_before_there_is_a_version(api: WritableApi, replica: ReplicaLease) -> None:
    replica.start()
    replica.stop()
    assert api.calls == []


def test_a_lease_that_is_not_there_is_made_and_says_the_version(api: WritableApi, replica: ReplicaLease) -> None:
    api.rule = absent_then_there
    replica.start()
    replica.tell("v1")
    poll_until(lambda: len(api.calls) == 2, None, "two calls")
    patched, made = api.calls
    assert (patched.method, patched.path) == ("PATCH", f"{ALL}/extauthz-replica-one")
    assert (made.method, made.path) == ("POST", ALL)
    assert made.body["metadata"] == {"name": "extauthz-replica-one", "annotations": {VERSION_ANNOTATION: "v1"}}
    assert made.body["spec"]["holderIdentity"] == "one"


def test_a_new_version_is_told_without_waiting_for_the_next_renewal(api: WritableApi, replica: ReplicaLease) -> None:
    replica.start()
    for version in ("v1", "v2"):
        replica.tell(version)
        poll_until(lambda: _told(api)[-1:] == [version], None, version)  # noqa: B023 - asked at once
    assert _told(api) == ["v1", "v2"]


def test_the_lease_goes_with_the_replica(api: WritableApi, replica: ReplicaLease) -> None:
    replica.start()
    replica.tell("v1")
    poll_until(lambda: len(api.calls) == 1, None, "the lease")
    replica.stop()
    assert [(call.method, call.path) for call in api.calls][-1] == ("DELETE", f"{ALL}/extauthz-replica-one")


def test_a_right_that_is_missing_is_a_warning_once_and_no_end(
    api: WritableApi, replica: ReplicaLease, caplog: pytest.LogCaptureFixture
) -> None:
    api.rule = lambda _: (403, {"message": "not allowed"})
    caplog.set_level(logging.WARNING)
    replica.start()
    for version in ("v1", "v2"):
        replica.tell(version)
        poll_until(lambda: _told(api)[-1:] == [version], None, version)  # noqa: B023 - asked at once
    api.rule = lambda _: (200, {})
    replica.tell("v3")
    poll_until(lambda: _told(api)[-1:] == ["v3"], None, "the third")
    assert caplog.text.count("not allowed") == 1


def _told(api: WritableApi) -> list[str]:
    return [call.body["metadata"]["annotations"][VERSION_ANNOTATION] for call in api.calls if call.method == "PATCH"]


# The leader's


def test_a_lease_is_read_as_it_is(api: WritableApi) -> None:
    api.rule = lambda _: (200, BODY)
    assert ClusterLease(api.client(), "ops", "boss").read() == Lease(
        "me", Seconds(15.0), Instant(100.0), Instant(200.0), 3, "9"
    )
    assert api.calls[0].path == f"{ALL}/boss"


def test_one_that_is_not_there_is_none(api: WritableApi) -> None:
    api.rule = lambda _: (404, {})
    assert ClusterLease(api.client(), "ops", "boss").read() is None


def test_an_update_names_the_version_that_it_was_decided_on(api: WritableApi) -> None:
    api.rule = lambda _: (200, BODY)
    found = ClusterLease(api.client(), "ops", "boss").update(MINE)
    assert found is not None
    assert found.version == "9"
    assert api.calls[0].body["metadata"] == {"resourceVersion": "7"}


@pytest.mark.parametrize("status", [404, 409])
def test_an_update_of_what_changed_or_went_is_none(api: WritableApi, status: int) -> None:
    api.rule = lambda _: (status, {})
    assert ClusterLease(api.client(), "ops", "boss").update(MINE) is None


def test_of_two_that_create_it_one_is_told_none(api: WritableApi) -> None:
    api.rule = lambda _: (409, {})
    assert ClusterLease(api.client(), "ops", "boss").create(MINE) is None


@pytest.mark.parametrize("status", [403, 500])
def test_a_refusal_says_what_must_be_granted(api: WritableApi, status: int) -> None:
    api.rule = lambda _: (status, {"message": "no"})
    lease = ClusterLease(api.client(), "ops", "boss")
    for act in (lease.read, lambda: lease.create(MINE), lambda: lease.update(MINE)):
        with pytest.raises(Denied, match=r"Lease `boss` in namespace `ops`.*rbac\.md"):
            act()


def test_one_that_is_away_is_no_refusal() -> None:
    with writable() as gone:
        lease = ClusterLease(gone.client(), "ops", "boss")
    with pytest.raises(Unreached):
        lease.read()
