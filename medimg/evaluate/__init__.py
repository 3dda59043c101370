"""Evaluation: predictions held against a truth. Pure functions make the numbers; files are read at the edge."""
