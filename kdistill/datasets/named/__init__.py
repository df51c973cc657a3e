"""Data sets with a name, found or downloaded and verified: Fashion-MNIST, MNIST, digits."""
