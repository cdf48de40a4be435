"""Benchmarks of what a model must not forget: which variant is asked, and on which data."""
