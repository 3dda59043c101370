"""Bundle folders before anything in them runs: what they would execute, whom to trust, how to use them."""
