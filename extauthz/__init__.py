"""Reuse control for bearer tokens: an external authorization service for Envoy and Istio.

Envoy asks before each request (`envoy.service.auth.v3.Authorization/Check`); `extauthz` verifies the one bearer
credential, checks what the policy requires, and spends what the policy limits.
"""

__version__ = "0.1.0"
