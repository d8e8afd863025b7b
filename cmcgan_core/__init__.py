"""Core of cmcgan."""

__version__ = "0.1.0"
