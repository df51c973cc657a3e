"""What every package stands on: errors, files, signals, the listener, TensorFlow's start, formatting."""
