"""Teachers: found, checked, opened, and asked for their logits, each once."""
