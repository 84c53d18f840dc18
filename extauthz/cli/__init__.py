"""The command line: one module for each command, imported only when it is asked for."""

from __future__ import annotations

from extauthz.cli.main import main

__all__ = ["main"]
