"""The clauses of `require`, one file each: the spec that authors write, and the check compiled from it."""
