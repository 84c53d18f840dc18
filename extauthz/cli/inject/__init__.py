"""`extauthz inject`: manifests in, the same with sidecars out, as `istioctl kube-inject` does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import click
import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from extauthz.cli.dumping import LiteralDumper
from extauthz.cli.inject.rights import Account, Reading, account_of, rights
from extauthz.cli.inject.sidecar import Json, Options, mistakes, settings_of
from extauthz.cli.inject.workload import Refused, eject, inject, spec
from extauthz.config import Settings
from extauthz.control.documents import Document, read_documents
from extauthz.policy.problem import FieldPath, dotted, message_of

_LONGEST: Final = 1000


@click.command(
    "inject",
    epilog="""\b
Examples:
  extauthz inject --image REGISTRY/extauthz:0.1.0 deployment.yaml | kubectl apply -f -
  extauthz inject --options inject.yaml - < deployment.yaml
  extauthz inject --image I --envoy-container proxy --arg=--single-replica job.yaml
  extauthz inject --remove deployment.yaml
  extauthz inject --rbac --namespace shop --read secret/corp-keys deployment.yaml | kubectl apply -f -""",
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
@click.option("--bind-address", help="Where the admin port listens; [::] where pods have IPv6.  [default: 0.0.0.0]")
@click.option("--store-secret", help="A Secret, mounted at /etc/extauthz/store.")
@click.option("--pepper-secret", help="A Secret, mounted at /etc/extauthz/pepper; its key `pepper` is used.")
@click.option("--arg", "args", multiple=True, metavar="FLAG", help="One more flag of `serve`; may be repeated.")
@click.option("--remove", is_flag=True, help="Take out what an earlier run put in; needs no other option.")
@click.option(
    "--rbac", is_flag=True, help="Print, instead, the Roles and bindings that let the pods' accounts read policies."
)
@click.option("--namespace", help="With --rbac: where objects without a namespace go.")
@click.option(
    "--read", multiple=True, metavar="KIND/NAME", help="With --rbac: secret/NAME or configmap/NAME of an issuer there."
)
@click.option(
    "--read-installed", multiple=True, metavar="KIND/NAME", help="The same, of a ClusterTokenIssuer: where it is read."
)
def command(files: tuple[str, ...], options_file: Path | None, **flags: Any) -> None:  # noqa: ANN401 - by their types
    """Give the pods in Kubernetes manifests a sidecar, and print all of the manifests.

    The sidecar is a native one: an init container that stays. It listens on a Unix socket that it shares with Envoy's
    container, /run/extauthz/extauthz.sock. Objects that make no pods are printed as they are, lists as their objects;
    comments and anchors are lost. A second run changes nothing, one with other options replaces the sidecar. A pod
    with the label extauthz.dev/inject: "false" is left alone. Nothing is printed when one object is refused.
    """
    said = {name: value for name, value in flags.items() if value is not None and value is not False and value != ()}
    if said.pop("rbac", False):
        where, read, installed = said.pop("namespace", ""), said.pop("read", ()), said.pop("read_installed", ())
        options = _options(options_file, {"image": "unused", **said})
        written = _rights(files, options, where, _reading("read", read), _reading("read-installed", installed))
        told = f"{len(written)} objects of RBAC"
    else:
        _refuse_stray(said)
        change, done = _change(options_file, said)
        found = [each for file in files for each in _read(file, change)]
        written = [manifest for manifest, _ in found]
        told = f"{sum(changed for _, changed in found)} of {len(found)} objects {done}"
    click.echo(
        yaml.dump_all(written, Dumper=LiteralDumper, sort_keys=False, allow_unicode=True, width=10_000), nl=False
    )
    click.echo(told, err=True)


Change: TypeAlias = "Callable[[Document], tuple[Json, bool]]"
_Found = TypeVar("_Found")


def _read(file: str, look: Callable[[Document], _Found]) -> Iterator[_Found]:
    """What `look` finds in each document of a file."""
    data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    documents, fault = read_documents(data)
    if fault is not None:
        _stop(f"{file}:{fault.line}: {fault.message}")
    for document in documents:
        try:
            yield look(document)
        except Refused as why:
            _stop(f"{file}:{why.line}: {_visible(': '.join(filter(None, (why.object, why.message))))}")


def _change(options_file: Path | None, said: dict[str, Any]) -> tuple[Change, str]:
    if not said.pop("remove", False):
        return partial(inject, options=_options(options_file, said)), "have a sidecar"
    if said or options_file is not None:
        _stop(f"--remove takes no other option, found {', '.join(map(_flag, said)) or '--options'}")
    return eject, "lost their sidecar"


def _refuse_stray(said: dict[str, Any]) -> None:
    stray = [_flag(name) for name in ("namespace", "read", "read_installed") if name in said]
    if stray:
        _stop(f"{', '.join(stray)}: is for --rbac")


def _rights(files: tuple[str, ...], options: Options, namespace: str, here: Reading, there: Reading) -> list[Json]:
    def look(document: Document) -> Account | None:
        pod = spec(document)
        if pod is None:
            return None
        account = account_of(document.raw, pod, namespace)
        if account is None:
            raise Refused(document.line, document.raw["kind"], "has no namespace; name it by --namespace")
        return account

    accounts = {account for file in files for account in _read(file, look) if account is not None}
    settings = settings_of(options)
    if not isinstance(settings, Settings):
        _stop("\n".join(settings))
    return [each for account in sorted(accounts) for each in rights(account, settings.install_namespace, here, there)]


def _reading(option: str, said: tuple[str, ...]) -> Reading:
    names: dict[str, list[str]] = {"secret": [], "configmap": []}
    for each in said:
        kind, _, name = each.partition("/")
        if kind not in names or not name:
            _stop(f"--{option}: `{each}` is not `secret/NAME` or `configmap/NAME`")
        names[kind].append(name)
    return Reading(tuple(names["secret"]), tuple(names["configmap"]))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-').removesuffix('s') if name == 'args' else name.replace('_', '-')}"


def _visible(text: str) -> str:
    """What a manifest says, unable to end a line or to move a terminal's cursor."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:_LONGEST])


def _options(file: Path | None, flags: dict[str, Any]) -> Options:
    said: dict[str, Any] = {}
    if file is not None:
        documents, fault = read_documents(file.read_bytes())
        if fault is not None or len(documents) != 1 or not isinstance(documents[0].raw, dict):
            _stop(f"--options: `{file}` is not one YAML mapping{f': {fault.message}' if fault is not None else ''}")
        said = {name.replace("-", "_"): value for name, value in documents[0].raw.items()}
    said |= flags
    try:
        options = TypeAdapter(Options).validate_python(said)
    except ValidationError as error:
        _stop("\n".join(_told(each, file, flags) for each in error.errors(include_url=False)))
    wrong = mistakes(options)
    if wrong:
        _stop("\n".join(wrong))
    return options


def _told(detail: ErrorDetails, file: Path | None, flags: Mapping[str, Any]) -> str:
    """A mistake with the flag or the file that makes it."""
    known: dict[FieldPath, tuple[str, ...]] = {(): tuple(each.name.replace("_", "-") for each in fields(Options))}
    first, *rest = detail["loc"]
    name = str(first)
    where = _flag(name) if file is None or name in flags else f"{file}: {dotted((name.replace('_', '-'), *rest))}"
    return f"{where}: {message_of(detail, known)}"


def _stop(line: str) -> NoReturn:
    click.echo(line, err=True)
    sys.exit(2)
