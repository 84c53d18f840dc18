"""The sidecar as a container: native (KEP-753), restricted (Pod Security Standards), with a socket for Envoy.

It starts before the pod's own containers and ends after them, so that no request finds Envoy without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import ConfigDict, Field

from extauthz.config import Settings, load

Json: TypeAlias = "dict[str, Any]"

NAME: Final = "extauthz"
"""Of the container."""
SOCKET_FOLDER: Final = "/run/extauthz"
SOCKET: Final = f"{SOCKET_FOLDER}/extauthz.sock"
"""Where Envoy finds it."""
IN_SOCKET_FOLDER: Final = re.compile("^/*run/+extauthz(/.*)?$")
"""Mounts that would hide it; templates and CEL read the same pattern."""
_SOCKET_VOLUME: Final = "extauthz-socket"
_ACCOUNT_VOLUME: Final = "extauthz-account"
VOLUMES: Final = (_SOCKET_VOLUME, _ACCOUNT_VOLUME, "extauthz-store", "extauthz-pepper")
"""All that a sidecar can have."""
_ACCOUNT_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_SECONDS: Final = 3600
_USER: Final = 65532
_READABLE: Final = 0o444
"""For files of volumes that the sidecar alone mounts: which group a pod's files have is not ours to say."""
_PEPPER: Final = "/etc/extauthz/pepper/pepper"
_RESOURCES: Final = {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}

_Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be chosen of a sidecar; in a file by the same names with dashes."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    image: Annotated[str, Field(min_length=1, pattern=r"^\S+$")]
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    envoy_container: _Name = "envoy"
    admin_port: Annotated[int, Field(ge=1, le=65535)] = 9090
    bind_address: Annotated[str, Field(pattern=r"^([0-9.]+|\[[0-9a-fA-F:]+\])$")] = "0.0.0.0"  # noqa: S104 - a pod's own
    store_secret: _Name | None = None
    pepper_secret: _Name | None = None
    resources: Json = field(default_factory=lambda: dict(_RESOURCES))
    args: tuple[str, ...] = ()


def arguments(options: Options) -> list[str]:
    """The command line of the sidecar."""
    own = ["serve", "--kubernetes", f"--listen=unix:{SOCKET}"]
    # Envoy runs as another user. Only its container and ours mount the folder, and that is what keeps others out.
    own += ["--socket-mode=0666", f"--admin={options.bind_address}:{options.admin_port}"]
    if options.pepper_secret is not None and not any(each.startswith("--pepper-file") for each in options.args):
        own.append(f"--pepper-file={_PEPPER}")
    return [*own, *options.args]


def settings_of(options: Options) -> Settings | tuple[str, ...]:
    """What `extauthz serve` reads from these options, or why it would not start."""
    flags: dict[str, tuple[str, ...]] = {}
    for each in arguments(options)[1:]:
        name, equals, text = each.partition("=")
        if not name.startswith("--"):
            return (f"args: `{name[:80]}` is no flag; write it as `--name=value`",)
        flags[name[2:]] = (*flags.get(name[2:], ()), text if equals else "true")
    found = load(flags, {"EXTAUTHZ_NAMESPACE": "default"})
    return found if isinstance(found, Settings) else tuple(map(str, found))


def mistakes(options: Options) -> tuple[str, ...]:
    """Why a sidecar would not start with these options; none when it would."""
    found = settings_of(options)
    unmounted = [
        f"args: a file in `/etc/extauthz/{name}` is named without `{name}-secret`"
        for name, secret in (("store", options.store_secret), ("pepper", options.pepper_secret))
        if secret is None and any(f"=/etc/extauthz/{name}/" in each for each in options.args)
    ]
    return (*(found if isinstance(found, tuple) else ()), *unmounted)


def container(options: Options) -> Json:
    """The container, for `initContainers`."""
    port = "extauthz-admin"
    return {
        "name": NAME,
        "image": options.image,
        "imagePullPolicy": options.image_pull_policy,
        # What makes an init container a sidecar.
        "restartPolicy": "Always",
        "args": arguments(options),
        "env": [{"name": "EXTAUTHZ_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "ports": [{"name": port, "containerPort": options.admin_port}],
        # The pod's own containers wait for the process, and not for an issuer that may be down.
        "startupProbe": _probe("/healthz", port, periodSeconds=1, failureThreshold=60),
        "livenessProbe": _probe("/healthz", port, periodSeconds=10, timeoutSeconds=3),
        "readinessProbe": _probe("/readyz", port, periodSeconds=5, timeoutSeconds=3),
        "resources": dict(options.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            socket_mount(read_only=False),
            *({"name": name, "mountPath": path, "readOnly": True} for name, (path, _) in _held(options).items()),
        ],
    }


def volumes(options: Options) -> list[Json]:
    """The volumes of the pod that the sidecar needs."""
    socket = {"name": _SOCKET_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}
    return [socket, *({"name": name, **source} for name, (_, source) in _held(options).items())]


def socket_mount(*, read_only: bool = True) -> Json:
    """The folder of the socket. Connecting needs no right to write to the folder."""
    mount = {"name": _SOCKET_VOLUME, "mountPath": SOCKET_FOLDER}
    return {**mount, "readOnly": True} if read_only else mount


def _held(options: Options) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """What only the sidecar mounts: volume, folder, source."""
    # A token of our own: whether the application gets one is its own business.
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    found: dict[str, tuple[str, Mapping[str, Any]]] = {
        _ACCOUNT_VOLUME: (_ACCOUNT_FOLDER, {"projected": {"defaultMode": _READABLE, "sources": sources}})
    }
    for name, secret in (("store", options.store_secret), ("pepper", options.pepper_secret)):
        if secret is not None:
            source = {"secret": {"secretName": secret, "defaultMode": _READABLE}}
            found[f"extauthz-{name}"] = (f"/etc/extauthz/{name}", source)
    return found


def _probe(path: str, port: str, **numbers: int) -> Json:
    return {"httpGet": {"path": path, "port": port}, **numbers}
