"""Experiments: several recipes or representations, trained under equal conditions and compared."""
