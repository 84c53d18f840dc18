"""Reuse control: what a request spends, and the store that commits it, all or none."""
