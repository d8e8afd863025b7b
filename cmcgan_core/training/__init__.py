"""Training: the loop, a run in its folder, the classifiers, and the log."""
