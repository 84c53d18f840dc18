"""Every row, and what the objects refer to."""

from __future__ import annotations

import json

from extauthz.config import INSTALL_NAMESPACE
from tests.building import obj
from tests.issuing import jwks
from tests.parity.issuers import CERTIFICATE, KEYS, issuers
from tests.parity.policies import RULE, policies
from tests.parity.revocations import revocations
from tests.parity.row import Row

KEY_SET = json.dumps(jwks())
SECRET = json.dumps({"keys": [{"kty": "oct", "use": "sig", "alg": "HS256", "k": "A" * 86}]})
COMPANIONS = (
    obj("TokenIssuer", "corp", {"issuer": "https://corp.example", "keys": KEYS, "audiences": ["a"]}),
    obj("ClusterTokenIssuer", "corp", {"issuer": "https://all.example", "keys": KEYS, "audiences": ["a"]}),
    *(
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": "held", "namespace": namespace}} | entries
        for namespace in ("shop", INSTALL_NAMESPACE)
        for kind, entries in (
            ("Secret", {"stringData": {"keys.json": KEY_SET, "secret.json": SECRET, "token": "of-this-gateway"}}),
            ("ConfigMap", {"data": {"keys.json": KEY_SET, "ca.pem": CERTIFICATE}}),
        )
    ),
)
"""What the objects refer to. An API server asks for none of it, `lint` does."""


def _envelopes() -> list[Row]:
    """Mistakes outside the spec."""
    good = obj("AccessPolicy", "under-test", {"hosts": ["a.example"], "rules": [RULE]})
    metadata = good["metadata"]
    return [
        Row(
            "labels and annotations",
            {**good, "metadata": {**metadata, "labels": {"a": "b"}, "annotations": {"c": "d"}}},
        ),
        Row("an object name with a dot", {**good, "metadata": {**metadata, "name": "orders.v1"}}),
        Row("a name in upper case", {**good, "metadata": {**metadata, "name": "Orders"}}, "metadata.name"),
        Row("a name of 254 characters", {**good, "metadata": {**metadata, "name": "a" * 254}}, "metadata.name"),
        Row("unknown metadata", {**good, "metadata": {**metadata, "owner": "me"}}, "metadata.owner"),
        Row("an unknown field beside the spec", {**good, "specs": {}}, "specs"),
        Row("no spec", {name: part for name, part in good.items() if name != "spec"}, "spec"),
        Row("a spec that is a list", {**good, "spec": []}, "spec"),
    ]


ROWS = [*policies(), *issuers(), *revocations(), *_envelopes()]
