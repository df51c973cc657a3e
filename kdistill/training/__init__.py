"""The loss, the compiled loop, and the epochs around it."""
