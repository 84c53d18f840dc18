"""`extauthz inject`: manifests in, the same with sidecars out, as `istioctl kube-inject` does it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import yaml
from pydantic import TypeAdapter, ValidationError

from extauthz.cli.dumping import LiteralDumper
from extauthz.cli.inject.sidecar import Json, Options, mistakes
from extauthz.cli.inject.workload import Refused, inject
from extauthz.control.documents import read_documents


@click.command(
    "inject",
    epilog="""\b
Examples:
  extauthz inject --image REGISTRY/extauthz:0.1.0 deployment.yaml | kubectl apply -f -
  extauthz inject --options inject.yaml - < deployment.yaml
  extauthz inject --image I --envoy-container proxy --arg=--single-replica job.yaml""",
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
def command(files: tuple[str, ...], options_file: Path | None, **flags: Any) -> None:  # noqa: ANN401 - by their types
    """Give the pods in Kubernetes manifests a sidecar, and print all of the manifests.

    The sidecar is a native one: an init container that stays. It listens on a Unix socket that it shares with Envoy's
    container, /run/extauthz/extauthz.sock. Objects that make no pods are printed as they are, lists as their objects;
    comments and anchors are lost. A second run changes nothing. A pod with the annotation extauthz.dev/inject: "false"
    is left alone.
    """
    options = _options(options_file, flags)
    written, count = [], 0
    for file in files:
        for manifest, changed in _injected(file, options):
            written.append(manifest)
            count += changed
    click.echo(
        yaml.dump_all(written, Dumper=LiteralDumper, sort_keys=False, allow_unicode=True, width=10_000), nl=False
    )
    click.echo(f"{count} of {len(written)} objects have a sidecar", err=True)


def _injected(file: str, options: Options) -> Iterator[tuple[Json, bool]]:
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    documents, fault = read_documents(data)
    if fault is not None:
        _stop(f"{file}:{fault.line}: {fault.message}")
    for document in documents:
        try:
            yield inject(document, options)
        except Refused as why:
            _stop(": ".join(part for part in (f"{file}:{why.line}", why.object, why.message) if part))


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
