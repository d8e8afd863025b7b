"""The tour of `cmcgan demo`: the shipped model at work, then a training that one can watch, on one page."""

from cmcgan_core.tour.demonstration import FAST_MINUTES, MINUTES, Demonstration, Tour, run_demo

__all__ = ["FAST_MINUTES", "MINUTES", "Demonstration", "Tour", "run_demo"]
