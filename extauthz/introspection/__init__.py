"""Token introspection (RFC 7662): asking an issuer's endpoint about tokens that only it can read."""
