"""Evaluation: predictions held against a truth. Numbers are made by pure functions on arrays; files are read at the edge."""
