"""Reports: HTML pages, plots, samples and sheets of evaluated runs."""
