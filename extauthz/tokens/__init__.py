"""Tokens: from the text that a request carries to a token whose signature and claims hold."""
