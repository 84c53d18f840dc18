"""What every test runs under: hypothesis without deadlines, since CI shares its cores with real servers."""

from typing import Final

from hypothesis import settings

settings.register_profile("steady", deadline=None, print_blob=True)
settings.load_profile("steady")

pytest_plugins: Final = ["tests.cluster.fixtures"]
"""A real API server, kubectl and helm, for whichever test asks for them."""
