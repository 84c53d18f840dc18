"""`extauthz store`: what the on-call asks of the counts and of the server that holds them."""

from __future__ import annotations

import click

from extauthz.cli.lazy import LazyGroup


@click.command(
    "store",
    cls=LazyGroup,
    places={
        "ping": "extauthz.cli.store.server:ping",
        "stats": "extauthz.cli.store.server:stats",
        "inspect": "extauthz.cli.store.token:inspect",
        "forget": "extauthz.cli.store.token:forget",
    },
    epilog="""\b
The settings of the store are those of `serve`: flags, EXTAUTHZ_ variables or the
configuration file. In the container of a replica they are set already.
\b
Exit codes: 0 for yes, 1 for no, 2 cannot tell.""",
)
def command() -> None:
    """Look after the shared store: whether it answers, what it holds, what is left of a token."""
