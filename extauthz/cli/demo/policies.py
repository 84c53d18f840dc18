"""The demo's policies: the same objects that a cluster would hold."""

from __future__ import annotations

from typing import Final

ISSUER: Final = """\
# Whose signatures count. ISSUER is filled in with the address of the demo's own issuer.
apiVersion: extauthz.dev/v1alpha1
kind: TokenIssuer
metadata: {name: demo, namespace: shop}
spec:
  issuer: ISSUER              # byte for byte the `iss` claim
  keys: {discovery: {}}       # found through /.well-known/openid-configuration
  audiences: [orders-api]
  maxLifetime: 10m
  clockSkew: 2s
"""

ORDERS: Final = """\
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: orders, namespace: shop}
spec:
  hosts: [api.example]
  rules:
    - name: read
      match: [{methods: [GET], path: {prefix: /orders}}]
      token: {issuers: [{name: demo}]}
      require: {scopes: [orders.read]}
      upstream: {claimHeaders: {x-auth-sub: sub}}

    - name: place-once          # a token places one order, then it is spent
      match: [{methods: [POST], path: {exact: /orders}}]
      token: {issuers: [{name: demo}]}
      require: {scopes: [orders.write]}
      reuse: {maxUses: 1}
      upstream: {claimHeaders: {x-auth-sub: sub}}

    - name: five-a-minute
      match: [{path: {exact: /quotes}}]
      token: {issuers: [{name: demo}]}
      reuse: {maxUses: 5, window: 1m}

    - name: health
      match: [{path: {exact: /healthz}}]
      anonymous: true
"""

REPORTS: Final = """\
# Written again while traffic flows: the demo asks for another scope, then for the first one again.
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: reports, namespace: shop}
spec:
  hosts: [reports.example]
  rules:
    - name: read
      token: {issuers: [{name: demo}]}
      require: {scopes: [SCOPE]}
"""

TRIAL: Final = """\
# Shadow: decide and record, but admit. A new policy is tried on live traffic before it is enforced.
apiVersion: extauthz.dev/v1alpha1
kind: AccessPolicy
metadata: {name: trial, namespace: shop}
spec:
  hosts: [trial.example]
  mode: Shadow
  rules:
    - name: read
      token: {issuers: [{name: demo}]}
      require: {scopes: [orders.read]}
      upstream: {claimHeaders: {x-auth-sub: sub}}
"""

FILES: Final = {
    "issuer.yaml": ISSUER,
    "orders.yaml": ORDERS,
    "reports.yaml": REPORTS.replace("SCOPE", "orders.read"),
    "trial.yaml": TRIAL,
}
