"""Command line of cmcgan: parses, calls one core function, prints."""
