"""What the speed of kdistill is measured against, and how: `python -m benchmarks --help`.

Not part of the wheel. Each measurement is printed as a table of medians and ratios:

- `epochs`: one epoch of distillation of the same nets on the same data in this engine and in what a user would
  otherwise run. Every competitor lives in its own process, and the processes run one epoch each in turn. With
  `--losses` our soft losses are compared with kl instead, with `--mixup` an epoch with mixup with its parts.
- `chain`: everything from process start to exit (teacher, baseline, distilled student), against the article's script.
- `seeds`: many runs by two workers and by one, against the article's script; a sweep; ever more short runs.
- `checkpoints`: what it costs a run that it can go on after it was killed.

A competitor is a module here that anyone can read and run by itself: `python -m benchmarks.article_loop`, then type
`epoch`.
"""
