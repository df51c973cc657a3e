"""What a student is distilled from: a model, several, or logits that another program has written."""
