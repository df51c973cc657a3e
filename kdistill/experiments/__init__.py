"""Many runs: which there are, who makes them, and what they say together."""
