"""The docs hold: no dead link, and every policy in them is one that the program accepts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.control.documents import read_documents
from extauthz.policy.parse import Parsed, parse

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_KINDS = ("kind: AccessPolicy", "kind: TokenIssuer", "kind: ClusterTokenIssuer", "kind: TokenRevocation")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def policies() -> Iterator[tuple[str, str]]:
    """Every YAML block that holds one of our objects, with its page."""
    for page in PAGES:
        for block in _YAML.findall(page.read_text()):
            if any(kind in block for kind in _KINDS):
                yield str(page.relative_to(ROOT)), block


def test_there_are_policies_to_check() -> None:
    assert len(list(policies())) >= 2


@pytest.mark.parametrize(("page", "block"), list(policies()))
def test_every_policy_in_the_docs_is_accepted(page: str, block: str) -> None:
    documents, fault = read_documents(block.encode())
    assert fault is None
    assert documents
    for document in documents:
        parsed = parse(document.raw)
        assert isinstance(parsed, Parsed), f"{page}: {parsed}"
