"""`extauthz check`: ask a running server about one request."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final
from urllib.parse import SplitResult, urlsplit

import click

from extauthz.model.time import parse_duration
from extauthz.server.client import Answer, Question, Unanswered, as_json, ask, connect

_LAST_LATIN: Final = 0xFF
_ADVICE: Final = {
    "WRONG_VERSION_NUMBER": "it speaks no TLS: leave `--tls-ca` out",
    "certificate has expired": "renew it: no client takes it",
    "certificate is not yet valid": "its time has not come, or the clock here is late",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not of an authority in `--tls-ca`",
    "Hostname Verification Check failed": "its certificate is for other names: call it by one of them",
    "Failed to create security handshaker": "`--tls-ca`, `--tls-cert` or `--tls-key` holds no PEM that fits",
    "Failed parsing HTTP/2": "that is no listener for Envoy: name one of `--listen`, not the admin port",
}
"""By a part of what gRPC says."""
_ORDER: Final = ("decision", "reason", "mode", "policy", "rule", "issuer", "subject", "client")


class Duration(click.ParamType[float]):
    """A duration as Go writes it, in seconds."""

    name = "duration"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; for any other text, how to write it."""
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    "check",
    epilog="""\b
Examples:
  extauthz check https://orders.shop.example/api/orders
  extauthz check -X POST --token-file - https://orders.shop.example/api/orders < token.txt
  extauthz check --address unix:/run/extauthz.sock --policy shop/orders https://any/api/orders""",
)
@click.argument("url")
@click.option(
    "--address", default="127.0.0.1:9191", show_default=True, help="Where the server listens: HOST:PORT or unix:PATH."
)
@click.option("-X", "--method", default="GET", show_default=True, help="The request method.")
@click.option(
    "-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A request header; may be repeated."
)
@click.option(
    "--token-file",
    type=click.File("r", encoding="latin-1"),
    help="A file with the bearer token, `-` for standard input.",
)
@click.option("--source-address", default="", help="The peer's IP address.")
@click.option("--source-principal", default="", help="The peer's authenticated identity, such as a SPIFFE ID.")
@click.option("--policy", default="", metavar="NAMESPACE/NAME", help="Pin a policy, as a route may.")
@click.option(
    "--tls-ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Speak TLS; authorities in PEM."
)
@click.option(
    "--tls-cert", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Our certificate (mutual TLS)."
)
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Its private key.")
@click.option("--timeout", type=Duration(), default="2s", show_default=True, help="How long to wait for the answer.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="For people or machines."
)
def command(  # noqa: PLR0913, PLR0917 - one parameter for each option
    url: str,
    address: str,
    method: str,
    headers: tuple[str, ...],
    token_file: IO[str] | None,
    source_address: str,
    source_principal: str,
    policy: str,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    timeout: float,
    output: str,
) -> None:
    """Ask a running server what it would say about a request to URL.

    This is a real Check: what it admits is counted. The token is never printed.
    """
    tls = _tls(tls_ca, tls_cert, tls_key)
    target = _split(url)
    question = Question(
        method=method,
        scheme=target.scheme,
        host=target.netloc,
        path=(target.path or "/") + (f"?{target.query}" if target.query else ""),
        headers=tuple(_headers(headers, token_file)),
        source_address=source_address,
        source_principal=source_principal,
        policy=policy,
    )
    try:
        with connect(address, **tls) as channel:
            answer = ask(channel, question, timeout)
    except Unanswered as error:
        words = str(error)
        click.echo(f"no answer from {address}: {words}{_mend(words, tls)}", err=True)
        sys.exit(2)
    click.echo(as_json(answer) if output == "json" else _text(answer))
    sys.exit(0 if answer.admitted else 1)


def _tls(ca: Path | None, cert: Path | None, key: Path | None) -> dict[str, bytes]:
    if (cert is None) != (key is None) or (cert is not None and ca is None):
        raise click.UsageError("`--tls-cert` and `--tls-key` need each other, and `--tls-ca`")
    files = {"ca": ca, "cert": cert, "key": key}
    return {name: path.read_bytes() for name, path in files.items() if path is not None}


def _mend(words: str, tls: Mapping[str, bytes]) -> str:
    """What to do about gRPC's `words` for a connection that fails, empty where they say so themselves."""
    if "Socket closed" in words:
        if not tls:
            return "; if it listens with TLS, give `--tls-ca`"
        if "cert" not in tls:
            return "; if it wants a client certificate, give `--tls-cert` and `--tls-key`"
        return "; it may not trust the certificate in `--tls-cert`"
    return next((f"; {advice}" for part, advice in _ADVICE.items() if part in words), "")


def _split(url: str) -> SplitResult:
    """The URL's parts. Only the operator's own argument is split here, never a request's path."""
    try:
        target = urlsplit(url)
    except ValueError:
        target = urlsplit("")
    if target.scheme not in {"http", "https"} or not target.netloc:
        raise click.BadParameter("a URL such as `https://orders.shop.example/api/orders` is needed", param_hint="URL")
    return target


def _headers(lines: tuple[str, ...], token_file: IO[str] | None) -> list[tuple[str, str]]:
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter("write it as `name: value`", param_hint="--header")
        if any(ord(character) > _LAST_LATIN for character in line):
            raise click.BadParameter("a header holds the characters of ISO 8859-1 only", param_hint="--header")
        headers.append((name.strip(), value.strip()))
    if token_file is not None:
        headers.append(("authorization", f"Bearer {token_file.read().strip()}"))
    return headers


def _place(name: str) -> tuple[int, str]:
    """Where a member of the decision is told: a map of protobuf has no order of its own."""
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _text(answer: Answer) -> str:
    decision = dict(answer.decision)
    lines = [f"{'admitted' if answer.admitted else 'denied'}, HTTP {answer.status}"]
    if answer.admitted and "reason" in decision:
        lines[0] += "; only because its policy is in Shadow mode: else it would be denied"
    lines += [
        f"  {name}: {decision[name]:g}" if isinstance(decision[name], float) else f"  {name}: {decision[name]}"
        for name in sorted(decision, key=_place)
    ]
    where = "request" if answer.admitted else "response"
    lines += [f"  set on the {where}: {name}: {value}" for name, value in answer.set_headers]
    lines += [f"  removed from the request: {name}" for name in answer.remove_headers]
    lines += [f"  removed from the query: {name}" for name in answer.remove_query]
    return "\n".join(lines)
