"""Evaluation: metrics, judges, scores of a trained network on one split, and comparisons of several runs."""
