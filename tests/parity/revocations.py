"""TokenRevocation objects."""

from __future__ import annotations

from tests.parity.row import Row, Rows, Spec

REVOCATION: Spec = {"issuer": {"name": "corp"}, "subject": "alice", "expires": "2031-01-31T12:00:00Z"}


def revocations() -> list[Row]:
    """Good ones and bad ones."""
    rows = Rows("TokenRevocation", REVOCATION)
    rows.holds("a subject")
    rows.holds("a subject's session at a client", session="s-1", client="web", jti="a b", reason="stolen laptop é")
    rows.holds("a digest in hexadecimal", subject=None, tokenHash="0123456789abcdef" * 4)
    rows.holds("a digest in base64url", subject=None, tokenHash="A" * 42 + "E")
    rows.holds("everyone", subject=None, issuedBefore="2031-01-31T11:59:59.5Z")
    rows.holds("a time with its zone", issuedBefore="2030-06-01T00:00:00+05:30", expires="2031-07-05T00:00:00-23:59")
    rows.holds("a cluster's issuer", issuer={"kind": "ClusterTokenIssuer", "name": "corp"})
    rows.holds("a day that exists in leap years", expires="2032-02-29T00:00:00Z")
    rows.breaks("no issuer", "spec.issuer", issuer=None)
    rows.breaks("nobody", "spec", "at least one of `jti`", subject=None)
    rows.breaks("an empty subject", "spec.subject", subject="")
    rows.breaks("a subject with a line end", "spec.subject", "control characters", subject="a\nb")
    rows.breaks("an id of 1025 characters", "spec.jti", jti="a" * 1025)
    rows.breaks("an id that is a number", "spec.jti", jti=1)
    rows.breaks("a digest and a subject", "spec", "`tokenHash` names one token", tokenHash="0123456789abcdef" * 4)
    for digest in ("0123456789ABCDEF" * 4, "0" * 63, "A" * 43 + "=", "A" * 42 + "B"):
        rows.breaks(f"a digest {digest[-20:]}", "spec.tokenHash", "SHA-256", subject=None, tokenHash=digest)
    rows.breaks("no end", "spec.expires", expires=None)
    for moment in (
        "2031-01-31", "2031-01-31T12:00:00", "2031-01-31 12:00:00Z", "2031-13-01T00:00:00Z", "1999-01-01T00:00:00Z",
        "2031-01-31T24:00:00Z", "2031-02-30T00:00:00Z", "2031-02-29T00:00:00Z", "2031-01-31T12:00:60Z", "never",
        "2031-00-31T12:00:00Z", "2031-01-31t12:00:00z", "2031-01-31T12:00:00.1234567Z", "2031-01-31T12:00:00+24:00",
    ):  # fmt: skip
        rows.breaks(f"an end at {moment}", "spec.expires", expires=moment)
    rows.breaks("ended before it began", "spec", "`expires` must be later", issuedBefore="2031-01-31T13:00:00+01:00")
    rows.breaks("an end too late", "spec", "at most 401 days", issuedBefore="2029-12-01T00:00:00Z")
    rows.breaks("an unknown field", "spec.user", user="alice")
    return rows.rows
