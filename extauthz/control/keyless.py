"""Issuers that can verify no token with what is at hand: keys, or the secret that an endpoint is asked with."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.introspection.endpoint import secret_fault
from extauthz.keys.jwks import fault_of
from extauthz.model.token import IssuerRef
from extauthz.policy.snapshot import Snapshot


def keyless(snapshot: Snapshot) -> Iterator[tuple[IssuerRef, str, str]]:
    """Each such issuer, the field of its spec and what is wrong. Reads the files that issuers name; fetches nothing."""
    for keys in snapshot.issuer_keys:
        if (fault := fault_of(keys)) is not None:
            yield keys.ref, "keys", fault
    for endpoint in snapshot.endpoints:
        if (fault := secret_fault(endpoint)) is not None:
            yield endpoint.ref, "introspection", fault
