"""The composition root: everything that runs, and running it."""

from extauthz.app.parts import StartError
from extauthz.app.root import App
from extauthz.app.run import serve

__all__ = ["App", "StartError", "serve"]
