"""`extauthz store inspect` and `forget`: what is left of a token under a rule, and to give its uses back.

A key is made of the rule, the verified token and the pepper, so the token and the rule must be shown to find it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click

from extauthz.cli.explain import exit_code
from extauthz.cli.explain.folder import KeysFrom, Unreadable
from extauthz.cli.explain.running import NoStory, explain_by_server
from extauthz.cli.settings import load_or_stop, options, stop
from extauthz.cli.store.asked import NotAsked, asked, read_token
from extauthz.cli.store.audit import Trail
from extauthz.cli.store.counts import Counts, CountsUnknown, forget_counts, look_up
from extauthz.cli.store.reached import is_of_counts
from extauthz.cli.store.told import in_words
from extauthz.config import Setting, Settings
from extauthz.explain.story import as_json
from extauthz.model.time import SystemClock
from extauthz.replay.redis import CannotConnect

_TIMEOUT: Final = 5.0
_ASKED: Final = (
    "url",
    "method",
    "headers",
    "token_header",
    "token_form",
    "source_address",
    "source_principal",
    "policy",
)


def _inspect(*, admin: str | None, output: str, **rest: Any) -> None:  # noqa: ANN401 (options of many kinds)
    """Tell what is left of a token, read from standard input, for a request to URL: uses, ties and windows.

    Counts nothing, and prints nothing of the token. By the policies in a folder and the shared store, or by a running
    server and whatever store it has.
    """
    try:
        if admin is None:
            story = _look_up(_settings(rest), rest).story
        else:
            story = explain_by_server(_request(rest), admin, _TIMEOUT)
    except (NotAsked, Unreadable, NoStory, CountsUnknown) as error:
        stop(f"cannot tell: {error}")
    click.echo(as_json(story) if output == "json" else in_words(story))
    sys.exit(exit_code(story, by_folder=True))


def _forget(*, yes: bool, why: str, **rest: Any) -> None:  # noqa: ANN401 (options of many kinds)
    """Forget the uses and ties of one token, read from standard input, under the rule that a request to URL takes.

    The token can then be used as if it had not been. The rule's `limits`, which count other requests too, stay as they
    are. Writes a line to the decision log; with `--decision-log off`, to standard error.
    """
    settings = _settings(rest)
    try:
        counts = _look_up(settings, rest)
        click.echo(in_words(counts.story), err=True)
        if not counts.of_token:
            stop("nothing is forgotten: nothing is counted of this token here")
        if not yes:
            stop("nothing is forgotten: say `--yes` to let this token be used as if it had not been")
        trail = Trail(settings)
        done = forget_counts(settings, counts, SystemClock())
    except (NotAsked, Unreadable, CountsUnknown, CannotConnect) as error:
        stop(f"cannot forget: {error}")
    trail.write(counts, done, why, SystemClock().now())
    if done.trouble:
        stop(f"forgotten in part at most, {done.deleted} of {len(counts.of_token)} counts for sure: {done.trouble}")
    click.echo(f"forgotten: {done.deleted} of {len(counts.of_token)} counts were there", err=True)
    sys.exit(0 if done.deleted else 1)


def _settings(rest: Mapping[str, Any]) -> Settings:
    return load_or_stop(rest["config"], rest, part=True, failing="cannot tell")


def _request(rest: Mapping[str, Any]) -> bytes:
    return asked(read_token(), **{name: rest[name] for name in _ASKED})


def _look_up(settings: Settings, rest: Mapping[str, Any]) -> Counts:
    if settings.policies is None:
        raise CountsUnknown("give the folder of policies (`--policies`): it says what is counted, and under which key")
    if not settings.policies.is_dir():
        raise CountsUnknown(f"there is no policy folder `{settings.policies}`")
    keys = KeysFrom(
        file=rest["keys"],
        offline=rest["offline"],
        allow_http_loopback=settings.allow_http_loopback,
        ask=rest["ask"],
    )
    return look_up(settings, _request(rest), settings.policies, keys, SystemClock())


def _is_taken(more: tuple[str, ...]) -> Callable[[Setting], bool]:
    return lambda setting: is_of_counts(setting) or setting.name in {"policies", "allow-http-loopback", *more}


_REQUEST: Final = (
    click.Argument(["url"]),
    click.Option(["-X", "--method"], default="GET", show_default=True, help="The request method."),
    click.Option(
        ["-H", "--header", "headers"], multiple=True, metavar="'NAME: VALUE'", help="A header; may be repeated."
    ),
    click.Option(["--token-header"], metavar="NAME", help="The header with the bare token, if not Authorization."),
    click.Option(["--token-form"], is_flag=True, help="The token is a refresh token, in the form of a POST."),
    click.Option(["--source-address"], default="", help="The peer's IP address."),
    click.Option(["--source-principal"], default="", help="The peer's authenticated identity, such as a SPIFFE ID."),
    click.Option(["--policy"], default="", metavar="NAMESPACE/NAME", help="Pin a policy, as a route may."),
    click.Option(
        ["--keys"],
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A key set for issuers that would be asked for theirs.",
    ),
    click.Option(["--offline"], is_flag=True, help="Fetch no keys."),
    click.Option(["--ask"], is_flag=True, help="Send an opaque token to its issuer's endpoint."),
)

inspect = click.Command(
    "inspect",
    callback=_inspect,
    params=[
        *_REQUEST,
        click.Option(["--admin"], metavar="HOST:PORT", help="Ask the running server whose admin port this is."),
        click.Option(
            ["--output"], type=click.Choice(["text", "json"]), default="text", show_default=True,
            help="For people, or the story of `explain`.",
        ),
        *options(_is_taken(())),
    ],
    help=_inspect.__doc__,
    epilog="""\b
Examples:
  extauthz store inspect --admin 127.0.0.1:9090 https://orders.shop.example/api < token
  extauthz store inspect --policies policies/ -X POST https://orders.shop.example/api < token""",
)  # fmt: skip

forget = click.Command(
    "forget",
    callback=_forget,
    params=[
        *_REQUEST,
        click.Option(["--yes"], is_flag=True, help="Do it; without, only say what would be forgotten."),
        click.Option(["--why"], default="", metavar="TEXT", help="Goes into the decision log."),
        *options(_is_taken(("decision-log", "decision-log-redact"))),
    ],
    help=_forget.__doc__,
    epilog="""\b
Exit codes: 0 forgotten, 1 nothing was counted, 2 not done, or in part.
\b
Example:
  extauthz store forget --policies policies/ -X POST --yes https://orders.shop.example/api < token""",
)
