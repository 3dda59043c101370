"""A nodule detector without a network: blobs in the lungs, their shape, and a small classifier. Needs no torch."""
