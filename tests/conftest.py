"""Fixtures that more than one folder uses."""
