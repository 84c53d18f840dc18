"""How long Envoy waits for an answer, in every example: longer than the server may take for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from extauthz.config import Settings, load

FOLDER: Final = Path(__file__).parents[2] / "deploy"
ASKING: Final = ("grpc_service", "envoyExtAuthzGrpc", "extAuth")
"""What says how a server is asked: Envoy's word, Istio's, Envoy Gateway's."""
WAY: Final = 0.04
"""Seconds at least for the way there and back."""
EXAMPLES: Final = ("ai-gateway", "envoy", "envoy-gateway", "istio")


def waits(name: str) -> Iterator[float]:
    """Seconds, of every place in the files of a folder that asks for decisions."""
    for path in (FOLDER / name).rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            yield from _waits(document)


def _waits(node: Any) -> Iterator[float]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ASKING and "timeout" in value:
                yield _seconds(value["timeout"])
            yield from _waits(value)
    elif isinstance(node, list):
        for each in node:
            yield from _waits(each)


def _seconds(text: str) -> float:
    return float(text.removesuffix("ms")) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_envoy_waits_longer_than_any_answer_takes(name: str) -> None:
    """A refusal that ends a family begins its last commit within the budget, and may take the store's deadline."""
    settings = load({"policies": ("p",)}, {})
    assert isinstance(settings, Settings)
    found = list(waits(name))
    assert found
    assert min(found) >= settings.check_budget + settings.store_deadline + WAY
