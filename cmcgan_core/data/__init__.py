"""Datasets: preparing, rendering and reading them, and batches of pairs for networks."""
