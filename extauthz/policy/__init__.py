"""Policies: as authors write them, and compiled into what decides a request."""
