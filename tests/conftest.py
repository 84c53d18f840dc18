"""What every test runs under: hypothesis without deadlines, since CI shares its cores with real servers."""

import gc
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, print_blob=True)
settings.load_profile("steady")

pytest_plugins: Final = ["tests.cluster.fixtures"]
"""A real API server, kubectl and helm, for whichever test asks for them."""


@pytest.fixture
def collector() -> Iterator[None]:
    """Garbage is collected afterwards as it was before: a server in this process sees to its own way."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
