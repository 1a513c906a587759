"""Benchmarks: ratios against a peer or a floor, each taken in one run. docs/performance.md explains them."""
