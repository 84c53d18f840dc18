"""The README of the Helm chart: every value with its default and what it means, from the comments in values.yaml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

VALUES = Path(__file__).parents[1] / "charts" / "extauthz" / "values.yaml"
_MARK = "# -- "

INTRO = """# Helm chart of extauthz

```sh
helm install extauthz charts/extauthz --namespace extauthz-system --create-namespace
```

How to install, share a store, upgrade and remove: [docs/how-to/helm.md](../../docs/how-to/helm.md). Why it is as it is: [decision 17](../../docs/adr/0017-helm.md).
A value that is not listed here is refused.

| value | default | meaning |
|---|---|---|
"""


def chart_page() -> str:
    """The page."""
    text = VALUES.read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    rows = list(_rows(root, "", text.splitlines()))
    return INTRO + "".join(f"| `{name}` | {default} | {words} |\n" for name, default, words in rows)


def chart_defaults() -> str:
    """The values without their comments: templates cannot read values.yaml itself, to tell what is set from what is not."""
    return json.dumps(yaml.safe_load(VALUES.read_text(encoding="utf-8")), indent=1) + "\n"


def _rows(node: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """A value with a comment of its own is one row; one without is a group of such."""
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        words = _comment(lines, key.start_mark.line)
        if words:
            yield name, _default(value), words
        else:
            assert isinstance(value, yaml.MappingNode), f"`{name}` in values.yaml has no comment `{_MARK}`"
            yield from _rows(value, f"{name}.", lines)


def _comment(lines: list[str], line: int) -> str:
    """What the comment right above a line says, from `# -- ` on."""
    found: list[str] = []
    for above in reversed(lines[:line]):
        bare = above.strip()
        if not bare.startswith("#"):
            break
        found.insert(0, bare.removeprefix(_MARK).removeprefix("# "))
        if bare.startswith(_MARK):
            return " ".join(found).replace("|", "\\|")
    return ""


def _default(node: yaml.Node) -> str:
    value = yaml.safe_load(yaml.serialize(node))
    return "none" if value in ("", [], {}) else f"`{value if isinstance(value, str) else json.dumps(value)}`"
