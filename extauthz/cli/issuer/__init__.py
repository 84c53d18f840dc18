"""`extauthz issuer`: writing TokenIssuers."""

from extauthz.cli.issuer.scaffold import command

__all__ = ["command"]
