"""`extauthz explain`: why a request is admitted or denied."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Final, NoReturn

import click

from extauthz.cli.check import Duration
from extauthz.cli.explain.folder import KeysFrom, Unreadable, explain_by_folder
from extauthz.cli.explain.request import FORMS, NotUnderstood, read_request
from extauthz.cli.explain.running import NoStory, explain_by_server
from extauthz.explain.story import Story, as_json
from extauthz.explain.words import in_words
from extauthz.model.reason import Reason
from extauthz.model.time import Instant, read_instant

_MAX_REQUEST: Final = 1 << 20
_UNKNOWN: Final = frozenset(
    reason.label
    for reason in (
        Reason.KEYS_UNAVAILABLE,
        Reason.INTROSPECTION_UNAVAILABLE,
        Reason.NOT_READY,
        Reason.STORE_UNAVAILABLE,
    )
)
"""Denials by a folder that say nothing of what a server with keys and a store would answer."""


class _Time(click.ParamType[float]):
    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        at = read_instant(value)
        if at is None:
            self.fail("write it as RFC 3339 with a zone, such as `2030-01-31T12:00:00Z`", param, ctx)
        return at


@click.command(
    "explain",
    epilog="""\b
Exit codes: 0 admitted, 1 denied, 2 cannot tell.
\b
Examples:
  extauthz explain --policies policies/ --request request.http
  extauthz explain --admin 127.0.0.1:9090 --request - < curl.txt
  extauthz explain --policies policies/ --keys jwks.json --at 2030-01-31T12:00:00Z --request check.json""",
)
@click.option(
    "--request",
    "source",
    type=click.File("rb"),
    required=True,
    help="The request: HTTP text, a curl command, or a CheckRequest in JSON; `-` for standard input.",
)
@click.option(
    "--format", "form", type=click.Choice(FORMS), default="auto", show_default=True, help="How it is written."
)
@click.option(
    "--policies",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Decide by the policies in this folder.",
)
@click.option("--admin", metavar="HOST:PORT", help="Ask the running server whose admin port this is.")
@click.option("--source-address", default="", help="The peer's IP address.")
@click.option("--source-principal", default="", help="The peer's authenticated identity, such as a SPIFFE ID.")
@click.option("--policy", default="", metavar="NAMESPACE/NAME", help="Pin a policy, as a route may.")
@click.option("--at", type=_Time(), metavar="TIME", help="Decide for this time, RFC 3339; with --policies.")
@click.option(
    "--keys",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A key set for issuers that would be asked for theirs; with --policies.",
)
@click.option("--offline", is_flag=True, help="Fetch no keys; with --policies.")
@click.option("--ask", is_flag=True, help="Send an opaque token to its issuer's endpoint; with --policies.")
@click.option("--allow-http-loopback", is_flag=True, help="As for `serve`; with --policies.")
@click.option("--timeout", type=Duration(), default="5s", show_default=True, help="How long to wait for a server.")
@click.option("--every-rule", is_flag=True, help="Tell all rules of the story, not only the closest, in text.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or machines."
)
def command(  # noqa: PLR0913, PLR0917 - one parameter for each option
    source: IO[bytes],
    form: str,
    policies: Path | None,
    admin: str | None,
    source_address: str,
    source_principal: str,
    policy: str,
    at: float | None,
    keys: Path | None,
    timeout: float,
    output: str,
    *,
    offline: bool,
    ask: bool,
    allow_http_loopback: bool,
    every_rule: bool,
) -> None:
    """Tell how a request is decided: the rule and why no other, each check, each count, the answer.

    Nothing is counted and nothing changes. No token is printed, and without --ask none is sent anywhere.
    """
    needs_folder = at is not None or keys is not None or offline or ask or allow_http_loopback
    _one_source(policies, admin, needs_folder=needs_folder)
    try:
        peer = {"source_address": source_address, "source_principal": source_principal}
        request = read_request(_bounded(source), form, **peer, policy=policy)
        if policies is not None:
            sources = KeysFrom(file=keys, offline=offline, allow_http_loopback=allow_http_loopback, ask=ask)
            story = explain_by_folder(request, policies, sources, None if at is None else Instant(at))
        else:
            story = explain_by_server(request, admin or "", timeout)
    except (NotUnderstood, Unreadable, NoStory) as error:
        _cannot_tell(str(error))
    click.echo(as_json(story) if output == "json" else in_words(story, plain=_is_plain(), every_rule=every_rule))
    sys.exit(exit_code(story, by_folder=policies is not None))


def _one_source(policies: Path | None, admin: str | None, *, needs_folder: bool) -> None:
    if (policies is None) == (admin is None):
        raise click.UsageError("give `--policies` or `--admin`, one of them")
    if policies is None and needs_folder:
        words = "`--at`, `--keys`, `--offline`, `--ask` and `--allow-http-loopback` go with `--policies`"
        raise click.UsageError(words)


def _bounded(source: IO[bytes]) -> bytes:
    data = source.read(_MAX_REQUEST + 1)
    if len(data) > _MAX_REQUEST:
        raise NotUnderstood(f"the request is longer than {_MAX_REQUEST} octets")
    return data


def exit_code(story: Story, *, by_folder: bool) -> int:
    """0 for an admission, 1 for a denial, 2 for one that says nothing."""
    if story.verdict.decision != "deny":
        return 0
    return 2 if by_folder and story.verdict.reason in _UNKNOWN else 1


def _is_plain() -> bool:
    """Whether standard output cannot show our signs."""
    try:
        "✓✗·".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False


def _cannot_tell(words: str) -> NoReturn:
    click.echo(f"cannot tell: {words}", err=True)
    sys.exit(2)
