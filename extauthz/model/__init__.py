"""The words that every room of the house speaks: plain immutable values, no I/O, no third-party types."""
