"""Compressed pixels: their frames in a file, what a codestream says of itself, and the processes that decode them."""
