"""`extauthz issuer scaffold`: a TokenIssuer with the narrow settings that a known provider's tokens need."""

from __future__ import annotations

import sys
import textwrap
from typing import Final

import click
import yaml

from extauthz.cli.issuer.providers import PROVIDERS, UNFILLED, Provider, WrongUrl
from extauthz.keys.fetch import Fetcher, FetchFailed
from extauthz.keys.jwk import KeySetRefused, parse_key_set
from extauthz.keys.source import IssuerKeys, load
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.parse import API_VERSION, Parsed, parse

_WIDTH: Final = 110


@click.group("issuer", no_args_is_help=True)
def command() -> None:
    """Write TokenIssuers."""


@command.command(
    "scaffold",
    epilog="\b\nProviders:\n"
    + "\n".join(f"  {each.name:24}{each.title}" for each in PROVIDERS.values())
    + "\n\n\b\nExample:\n  extauthz issuer scaffold keycloak --url https://sso.example/realms/shop --audience orders",
)
@click.argument("provider", type=click.Choice(list(PROVIDERS)), metavar="PROVIDER")
@click.option("--url", required=True, help="The issuer, as its tokens name it in `iss`.")
@click.option("--audience", help="What tokens for your API have in `aud`.")
@click.option("--name", help="The object's name; the provider's where left out.")
@click.option("--namespace", default="default", show_default=True, help="The object's namespace.")
@click.option("--cluster", is_flag=True, help="Write a ClusterTokenIssuer.")
@click.option("--offline", is_flag=True, help="Do not look at the issuer's keys.")
@click.option("--allow-http-loopback", is_flag=True, help="Also look at an issuer on this machine. For development.")
def scaffold(  # noqa: PLR0913, PLR0917 - one parameter for each option
    provider: str,
    url: str,
    audience: str | None,
    name: str | None,
    namespace: str,
    cluster: bool,  # noqa: FBT001 - click passes options by name
    offline: bool,  # noqa: FBT001
    allow_http_loopback: bool,  # noqa: FBT001
) -> None:
    """Write a TokenIssuer for PROVIDER: strict, but for what its tokens need.

    The object goes to standard output; what was seen of the issuer's keys, and what remains to be filled in, goes to
    standard error.
    """
    known = PROVIDERS[provider]
    try:
        spec = known.write(url, audience)
    except WrongUrl as error:
        raise click.BadParameter(str(error), param_hint="--url") from error
    kind = "ClusterTokenIssuer" if cluster else "TokenIssuer"
    text = document(known, spec, kind=kind, name=name or known.name, namespace="" if cluster else namespace)
    click.echo(text, nl=False)
    if not offline:
        click.echo(_look(text, Fetcher(allow_loopback=allow_http_loopback)), err=True)
    for line in remaining(known, spec):
        click.echo(f"to do: {line}", err=True)
    sys.exit(0)


def document(known: Provider, spec: str, *, kind: str, name: str, namespace: str) -> str:
    """The object in YAML, with what to know about its tokens above it."""
    comments = [f"# {line}" for line in _wrapped([f"{known.title}.", *known.notes])]
    metadata = f"{{name: {name}}}" if not namespace else f"{{name: {name}, namespace: {namespace}}}"
    head = [*comments, f"apiVersion: {API_VERSION}", f"kind: {kind}", f"metadata: {metadata}", "spec:"]
    return "\n".join(head) + "\n" + textwrap.indent(spec, "  ")


def remaining(known: Provider, spec: str) -> list[str]:
    """What is still to be filled in or looked at."""
    unfilled = [line.strip().partition("#")[0].strip() for line in spec.splitlines() if UNFILLED in line]
    words = [f"replace `{UNFILLED}…` in `{line}`" for line in unfilled]
    if f"{UNFILLED}-audience" in spec:
        words.append(f"the audience is {known.audience}")
    return [*words, *known.fill]


def _wrapped(sentences: list[str]) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(sentence, _WIDTH)]


def _look(text: str, fetcher: Fetcher) -> str:
    """What was seen of the issuer's keys, in a few words."""
    parsed = parse(yaml.safe_load(text))
    if not isinstance(parsed, Parsed):
        return "keys: not looked at, because the object is not complete yet"
    if _asks_endpoint(parsed):
        return "keys: none, its endpoint is asked about its tokens; `extauthz explain --ask` tries that"
    (keys,) = compile_snapshot([parsed]).issuer_keys
    try:
        return _seen(keys, fetcher)
    except (FetchFailed, KeySetRefused) as error:
        return f"keys: {error}"


def _asks_endpoint(parsed: Parsed) -> bool:
    """Whether an endpoint, and no key, says what the issuer's tokens are."""
    return isinstance(parsed.spec, TokenIssuerSpec) and parsed.spec.introspection is not None


def _seen(keys: IssuerKeys, fetcher: Fetcher) -> str:
    loaded = load(keys.source, fetcher)
    found = parse_key_set(loaded.document, keys.rules)
    usable = ", ".join(f"`{key.kid}` ({' '.join(sorted(key.algorithms))})" for key in found.keys)
    skipped = "".join(f"\nkeys: `{each.kid}` is skipped: {each.why}" for each in found.skipped)
    return f"keys: {loaded.place} has {len(found.keys)} usable: {usable}{skipped}"
