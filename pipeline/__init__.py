"""Callsheet: a YAML manifest of text-to-video jobs in, checked videos and a trustworthy ledger out."""

__version__ = "0.1.0"
