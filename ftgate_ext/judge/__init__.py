"""Pairs of answers -> verdicts of a judge, and whether that judge may vote."""
