"""Files that objects in a folder name: found beside the file that the object stands in, and which of them to follow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from extauthz.control.documents import Document
from extauthz.keys.regular import read_regular
from extauthz.policy.issuers import MAX_AUTHORITIES


def resolved(document: Document, beside: Path) -> Document:
    """The same document with the files that it names found beside the file it stands in."""
    raw, spec = document.raw, _spec_of(document)
    if not spec:
        return document
    changed: dict[str, Any] = {}
    for name in ("keys", "caBundle"):
        changed |= _found_beside(spec, name, beside)
    introspection = spec.get("introspection")
    if isinstance(introspection, dict):
        clients = [_found_beside(introspection, name, beside) for name in introspection]
        changed["introspection"] = introspection | {name: said for client in clients for name, said in client.items()}
    return replace(document, raw={**raw, "spec": {**spec, **changed}}) if changed else document


def _spec_of(document: Document) -> dict[str, Any]:
    spec = document.raw.get("spec") if isinstance(document.raw, dict) else None
    return spec if isinstance(spec, dict) else {}


def _found_beside(spec: Mapping[str, Any], name: str, beside: Path) -> dict[str, Any]:
    """The member, when it names a file, with that file's whole path."""
    said = spec.get(name)
    if not isinstance(said, dict) or not isinstance(said.get("file"), str):
        return {}
    return {name: {**said, "file": str(beside / said["file"])}}


def authorities(documents: Iterable[Document]) -> Iterator[Path]:
    """The files of authorities that issuers name. Other files that they may name are followed where they are used."""
    for document in documents:
        bundle = _spec_of(document).get("caBundle")
        file = bundle.get("file") if isinstance(bundle, dict) else None
        if isinstance(file, str):
            yield Path(file)


def digest_of_authorities(documents: Iterable[Document]) -> bytes:
    """Of what stands in those files now; nothing where none are named."""
    content = [hashlib.sha256(_content(path)).digest() for path in authorities(documents)]
    return hashlib.sha256(b"".join(content)).digest() if content else b""


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_AUTHORITIES)
    except (OSError, ValueError):
        return b""
