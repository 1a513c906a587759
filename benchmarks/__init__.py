"""Benchmarks: every number is a ratio, taken in one run, against a peer or a floor. docs/performance.md explains them."""
