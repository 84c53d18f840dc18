"""What every test runs under: hypothesis without deadlines, since CI shares its cores with real servers."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, print_blob=True)
settings.load_profile("steady")
