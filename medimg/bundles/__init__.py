"""Bundle folders before anything in them runs: where they lie, what they would execute, whom to trust, how to use them."""
