"""Training: one configuration in, one MONAI bundle with weights out."""
