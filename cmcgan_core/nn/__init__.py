"""Networks, their losses, and what a trained network can do. Nothing here knows about files or datasets."""
