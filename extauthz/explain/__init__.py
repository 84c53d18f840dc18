"""The story of one decision as a person would tell it: which rule and why no other, each check, each count, the end.

It asks the very functions that `decide` asks, one by one, and takes its verdict from `decide` and `settle`: nothing is
decided here. It counts nothing, remembers nothing and never shows a token.
"""
