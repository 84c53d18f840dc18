"""What a sidecar is made of, as a named template: the Helm library and the chart's admission policy read it from there.

So a probe or a mount is written once, in extauthz/cli/inject/sidecar.py. The templates put the options in.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

from extauthz.cli.inject.pod import INJECT, INJECTED
from extauthz.cli.inject.sidecar import (
    IN_SOCKET_FOLDER,
    SOCKET_FOLDER,
    VOLUMES,
    Options,
    arguments,
    container,
    socket_mount,
    volumes,
)

_PORT = 65535
_WHOLE = Options(image="IMAGE", admin_port=_PORT, bind_address="ADDRESS", store_secret="SECRET", pepper_secret="SECRET")
_BARE = Options(image="IMAGE", admin_port=_PORT, bind_address="ADDRESS")

HEAD = (
    "{{- /* Written by docs/generate.py from extauthz/cli/inject/sidecar.py; run `make docs` after a change. */ -}}\n"
)


def sidecar_content() -> str:
    """The template."""
    return f'{HEAD}{{{{- define "extauthz-sidecar.content" -}}}}\n{json.dumps(_content(), indent=1)}\n{{{{- end }}}}\n'


def _content() -> dict[str, Any]:
    """The container is the one of no Secrets; `PORT`, `ADDRESS` and `SECRET` stand for what options say."""
    whole = container(_WHOLE)
    mounts = {mount["name"]: mount for mount in whole["volumeMounts"]}
    bare = container(_BARE)
    (pepper,) = (each for each in arguments(_WHOLE) if each not in arguments(_BARE))
    return {
        "names": list(VOLUMES),
        "folder": SOCKET_FOLDER,
        "folderPattern": IN_SOCKET_FOLDER.pattern,
        "labels": {"inject": INJECT},
        "annotations": {"injected": INJECTED},
        "defaults": dict(_defaults()),
        "container": {**bare, "args": [each.replace(str(_PORT), "PORT") for each in bare["args"]]},
        "pepperArg": pepper,
        "secretMounts": {name: mounts[f"extauthz-{name}"] for name in ("store", "pepper")},
        "volumes": volumes(_BARE),
        "secretVolumes": {
            name: volume
            for name in ("store", "pepper")
            for volume in volumes(_WHOLE)
            if volume["name"] == f"extauthz-{name}"
        },
        "socketMount": socket_mount(),
    }


def _defaults() -> Any:
    for each in fields(Options):
        value = each.default_factory() if each.default_factory is not MISSING else each.default
        known = "" if value in (MISSING, None) else list(value) if isinstance(value, tuple) else value
        yield each.name.replace("_", "-"), known
