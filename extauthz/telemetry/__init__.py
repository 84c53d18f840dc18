"""Telemetry: what was decided and how well we are, told in metrics, a decision log and a process log.

INVARIANT: no decision waits for a reader, a disk or a pipe, and no token can be read in what is told.
"""
