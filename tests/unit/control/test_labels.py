"""What is read of Namespaces: the labels by which they are selected, beside the hosts that they may claim."""

from __future__ import annotations

import threading
from typing import Any

from extauthz.control.events import Applied, Deleted, Listed
from extauthz.control.objects import Objects
from extauthz.control.resources import NAMESPACES
from tests.clock import FakeClock


def namespace(name: str, **labels: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels, "annotations": {"extauthz.dev/hosts": "a.example"}}}


def test_labels_follow_what_is_listed_applied_and_deleted() -> None:
    objects = Objects(threading.Event(), FakeClock(), 10)
    objects.take(Listed(NAMESPACES, (namespace("shop", tier="gold"), {"metadata": {"name": "bare"}})))
    assert objects.picture().labels == {"shop": {"tier": "gold"}, "bare": {}}
    objects.take(Applied(NAMESPACES, namespace("shop", tier="silver")))
    objects.take(Applied(NAMESPACES, namespace("bank")))
    assert objects.picture().labels == {"shop": {"tier": "silver"}, "bare": {}, "bank": {}}
    objects.take(Deleted(NAMESPACES, namespace("shop")))
    objects.take(Listed(NAMESPACES, (namespace("bank", tier="gold"),)))
    assert objects.picture().labels == {"bank": {"tier": "gold"}}
    assert objects.picture().grants == {"bank": ("a.example",)}
