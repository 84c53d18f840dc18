"""`extauthz`: the group of commands."""

from __future__ import annotations

import errno
import sys
from typing import Any, Final, NoReturn

import click

from extauthz.cli.lazy import LazyGroup
from extauthz.cli.streams import leave_output, stand_in

_COMMANDS: Final = (
    "serve",
    "controller",
    "lint",
    "check",
    "explain",
    "store",
    "pseudonym",
    "issuer",
    "crds",
    "inject",
    "demo",
    "version",
)

EXIT_CODES: Final = """\b
Exit codes: 0 for yes, 1 when the answer is no (mistakes found, request denied,
demo not as expected), 2 for wrong usage or what cannot be started, reached or
written."""

_OUTPUT_FAILS: Final = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})


class _Program(LazyGroup):
    """INVARIANT: an answer that cannot be given is neither yes (0) nor no (1)."""

    def main(self, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - as its base
        stand_in()
        return super().main(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as its base
        try:
            return super().invoke(ctx)
        except UnicodeEncodeError:
            _end("cannot go on: an argument, or the name of a file, is not UTF-8")
        except OSError as error:
            if error.errno not in _OUTPUT_FAILS or error.filename is not None:
                raise
            leave_output()
            _end("" if error.errno == errno.EPIPE else f"cannot write the output: {error.strerror}")


def _end(words: str) -> NoReturn:
    if words:
        click.echo(words, err=True)
    sys.exit(2)


@click.command(
    cls=_Program,
    places={name: f"extauthz.cli.{name}:command" for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
    no_args_is_help=True,
)
def main() -> None:
    """Answer Envoy's external-authorization call: verify bearer tokens and control how often they are reused."""
