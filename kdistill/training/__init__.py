"""Training: the loss (`losses`), the compiled step (`compiled_loop`), and the epochs around it (`fit`)."""
