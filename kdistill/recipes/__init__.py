"""How one run is made: `arms` (start here), `make` (is it needed?), `attempt` (train it), `evaluate` (score it)."""
