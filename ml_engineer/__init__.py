"""Brings a prototype machine-learning repository to production."""

__version__ = "0.1.0"
