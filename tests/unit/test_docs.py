"""The docs hold: no dead link, and every policy in them is one that the program accepts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from extauthz.control.documents import read_documents
from extauthz.model.reason import Reason
from extauthz.policy.parse import Parsed, parse
from extauthz.replay.redis.trouble import Kind

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    page for folder in ("docs", "charts") for page in (ROOT / folder).rglob("*.md")
)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_YAML = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_KINDS = ("kind: AccessPolicy", "kind: TokenIssuer", "kind: ClusterTokenIssuer", "kind: TokenRevocation")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_dead(page: Path) -> None:
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_is_a_heading(page: Path) -> None:
    """As the renderers of GitHub and its like name them."""
    found = [(link, anchor) for link, anchor in _ANCHOR.findall(page.read_text()) if "://" not in link]
    wanted = [((page.parent / link).resolve() if link else page, anchor) for link, anchor in found]
    assert [anchor for target, anchor in wanted if target.suffix == ".md" and anchor not in anchors(target)] == []


def anchors(page: Path) -> set[str]:
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    written = set(re.findall(r'<a id="([^"]+)"', text))
    return written | {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    """A claim that says by which test it holds must not outlive the test."""
    for path, name in _TEST.findall(page.read_text()):
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_the_threat_model_names_a_test_for_all_that_it_says_is_defended() -> None:
    page = (ROOT / "docs" / "explanation" / "threat-model.md").read_text()
    defended = page.partition("## Defended")[2].partition("## Not defended")[0]
    rows = [line for line in defended.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    assert [row for row in rows if not _TEST.search(row)] == []


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
        if isinstance(document.raw, dict) and document.raw.get("kind") == "Namespace":
            continue  # it grants hosts to what stands beside it
        parsed = parse(document.raw, cluster="targetRefs" in block)
        assert isinstance(parsed, Parsed), f"{page}: {parsed}"


def runbook(alert: str) -> str:
    """What the runbook says about one alert."""
    page = (ROOT / "docs" / "how-to" / "runbook.md").read_text()
    return page.partition(f"\n## {alert}\n")[2].partition("\n## ")[0]


def test_the_runbook_says_what_to_do_about_every_kind_of_failure_of_the_store() -> None:
    told = set(re.findall(r"`(\w+)`", runbook("ExtauthzStoreFailing").partition("**Mend**")[2]))
    assert set(get_args(Kind)) - told == set()


def test_troubleshooting_names_the_reason_that_tokens_of_a_silent_endpoint_get() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| `Introspected` |")]
    assert f"`{Reason.INTROSPECTION_UNAVAILABLE.label}`" in row
    assert f"`{Reason.KEYS_UNAVAILABLE.label}`" not in row


def test_the_runbook_looks_for_refused_quotas_under_the_reason_that_they_have() -> None:
    assert f'`"reason":"{Reason.STORE_QUOTA.label}"`' in runbook("ExtauthzStoreQuotaReached")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_row_of_a_table_is_one_line(page: Path) -> None:
    """A row that goes on in the next line ends the table there."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    assert [line for line in text.splitlines() if line.startswith("|") and not line.endswith("|")] == []
