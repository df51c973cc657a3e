"""Deployment of a trained model: export, parity check, benchmark, prediction.

- `formats`: the formats of model files, one entry each in `FORMATS`;
- `runtimes`: one class for each format, which opens a model file in its runtime and computes outputs;
- `convert`: one writer for each export format;
- `exports`: converts a model and keeps the export if its outputs agree with the model's (`parity`, `export_records`);
- `benchmark`: models and exports side by side, each in its own process (`measure_process`, `latency`);
- `predict`: classes and probabilities of unlabelled examples (`read_inputs`);
- `targets`: which model file a command's argument means.

To add a runtime: an entry in `formats.FORMATS`, a class in `runtimes.RUNTIMES`, a writer in `convert.WRITERS`, the name
in `--format` (`cli/deploy.py`) and, if it needs a package, an extra in `core/extras.py` and `pyproject.toml`.

No module imports TensorFlow before a model is opened in it, so that the memory of other runtimes can be measured.
"""
