"""From a trained model to what is shipped: exported, held against the model, timed, and used.

- `exports`: a model in the form of another runtime, kept only if it does what the model does (`parity`);
- `runtimes`: a model file opened in its own runtime, one small class for each;
- `benchmark`: models and exports side by side, each measured in a process of its own (`measure`, `latency`);
- `prediction`: classes and probabilities of rows that nobody has labelled.

Nothing here imports TensorFlow before a model has to be opened in it, so that the memory of the others can be measured.
"""
