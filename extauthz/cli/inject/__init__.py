"""`extauthz inject`: manifests in, the same with sidecars out, as `istioctl kube-inject` does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import click
import yaml
from pydantic import TypeAdapter, ValidationError

from extauthz.cli.dumping import LiteralDumper
from extauthz.cli.inject.sidecar import Json, Options, mistakes
from extauthz.cli.inject.workload import Refused, eject, inject
from extauthz.control.documents import Document, read_documents

_LONGEST: Final = 1000


@click.command(
    "inject",
    epilog="""\b
Examples:
  extauthz inject --image REGISTRY/extauthz:0.1.0 deployment.yaml | kubectl apply -f -
  extauthz inject --options inject.yaml - < deployment.yaml
  extauthz inject --image I --envoy-container proxy --arg=--single-replica job.yaml
  extauthz inject --remove deployment.yaml""",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--options",
    "options_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A YAML file with these options, and `resources`; the Helm chart has one in a ConfigMap. Flags beat it.",
)
@click.option("--image", help="The image of the sidecar.")
@click.option("--image-pull-policy", help="As Kubernetes has it.  [default: IfNotPresent]")
@click.option("--envoy-container", help="The container of Envoy, which gets the socket.  [default: envoy]")
@click.option("--admin-port", type=int, help="Health, readiness and metrics.  [default: 9090]")
@click.option("--store-secret", help="A Secret, mounted at /etc/extauthz/store.")
@click.option("--pepper-secret", help="A Secret, mounted at /etc/extauthz/pepper; its key `pepper` is used.")
@click.option("--arg", "args", multiple=True, metavar="FLAG", help="One more flag of `serve`; may be repeated.")
@click.option("--remove", is_flag=True, help="Take out what an earlier run put in; needs no other option.")
def command(files: tuple[str, ...], options_file: Path | None, *, remove: bool, **flags: Any) -> None:  # noqa: ANN401 - by their types
    """Give the pods in Kubernetes manifests a sidecar, and print all of the manifests.

    The sidecar is a native one: an init container that stays. It listens on a Unix socket that it shares with Envoy's
    container, /run/extauthz/extauthz.sock. Objects that make no pods are printed as they are, lists as their objects;
    comments and anchors are lost. A second run changes nothing, one with other options replaces the sidecar. A pod
    with the label extauthz.dev/inject: "false" is left alone. Nothing is printed when one object is refused.
    """
    change = _eject(options_file, flags) if remove else partial(inject, options=_options(options_file, flags))
    written, count = [], 0
    for file in files:
        for manifest, changed in _changed(file, change):
            written.append(manifest)
            count += changed
    click.echo(
        yaml.dump_all(written, Dumper=LiteralDumper, sort_keys=False, allow_unicode=True, width=10_000), nl=False
    )
    done = "lost their sidecar" if remove else "have a sidecar"
    click.echo(f"{count} of {len(written)} objects {done}", err=True)


Change: TypeAlias = "Callable[[Document], tuple[Json, bool]]"


def _changed(file: str, change: Change) -> Iterator[tuple[Json, bool]]:
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    documents, fault = read_documents(data)
    if fault is not None:
        _stop(f"{file}:{fault.line}: {fault.message}")
    for document in documents:
        try:
            yield change(document)
        except Refused as why:
            _stop(f"{file}:{why.line}: {_visible(': '.join(filter(None, (why.object, why.message))))}")


def _visible(text: str) -> str:
    """What a manifest says, unable to end a line or to move a terminal's cursor."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:_LONGEST])


def _eject(options_file: Path | None, flags: dict[str, Any]) -> Change:
    said = [f"--{name.replace('_', '-')}" for name, value in flags.items() if value not in (None, ())]
    if said or options_file is not None:
        _stop(f"--remove takes no other option, found {', '.join(said) or '--options'}")
    return eject


def _options(file: Path | None, flags: dict[str, Any]) -> Options:
    said: dict[str, Any] = {}
    if file is not None:
        documents, fault = read_documents(file.read_bytes())
        if fault is not None or len(documents) != 1 or not isinstance(documents[0].raw, dict):
            _stop(f"--options: `{file}` is not one YAML mapping{f': {fault.message}' if fault is not None else ''}")
        said = {name.replace("-", "_"): value for name, value in documents[0].raw.items()}
    said |= {name: value for name, value in flags.items() if value is not None and value != ()}
    try:
        options = TypeAdapter(Options).validate_python(said)
    except ValidationError as error:
        _stop("\n".join(_told(each["loc"], each["msg"]) for each in error.errors()))
    wrong = mistakes(options)
    if wrong:
        _stop("\n".join(wrong))
    return options


def _told(where: tuple[int | str, ...], what: str) -> str:
    return f"--{'.'.join(map(str, where)).replace('_', '-')}: {what[0].lower()}{what[1:]}"


def _stop(line: str) -> NoReturn:
    click.echo(line, err=True)
    sys.exit(2)
