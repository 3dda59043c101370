"""A pipeline's network as files for other programs, each checked against torch before it is kept."""
