"""Deployment of a trained model: export, parity check, benchmark, prediction.

- `formats`: the formats of model files, one entry each in `FORMATS`;
- `runtimes`: one class for each format, which opens a model file in its runtime and computes outputs;
- `convert`: one writer for each export format;
- `exports`: converts a model and keeps the export if its outputs agree with the model's (`parity`, `export_records`);
- `benchmark`: models and exports side by side, each in its own process (`measure_process`, `latency`);
- `predict`: classes and probabilities of unlabelled examples (`read_inputs`);
- `targets`: which model file a command's argument means.

To add a runtime, see CONTRIBUTING.md: an entry in `FORMATS`, a class in `RUNTIMES`, a writer in `WRITERS`.

TensorFlow is imported only to convert a model, or to open one that needs it (`convert` is imported late), so that the
memory of other runtimes can be measured.
"""
