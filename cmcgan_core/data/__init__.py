"""Datasets for training: `prepare` writes them, `synthetic` renders one, and these modules read them."""
