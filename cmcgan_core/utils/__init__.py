"""Helpers without domain knowledge: files, settings schemas, TOML, devices, signals and worker processes."""
