"""`python -m benchmarks [epochs|chain|checkpoints|seeds]`: see the package's docstring."""

import argparse
import os
import sys
from pathlib import Path

import benchmarks
from benchmarks import chain, checkpoints, compare, seeds
from benchmarks.processes import signals_end_the_benchmark

# A further measurement is a further module with these two functions.
MEASUREMENTS = {"epochs": compare, "chain": chain, "checkpoints": checkpoints, "seeds": seeds}


def main() -> int:
    """Run one measurement; return the exit code."""
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["epochs", *arguments]
    options = _parser().parse_args(arguments)
    if options.cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in options.cpus.split(",")})
    try:
        with signals_end_the_benchmark():
            return MEASUREMENTS[options.measurement].run(options)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="measurement", required=True)
    for name, module in MEASUREMENTS.items():
        description = module.__doc__
        command = commands.add_parser(
            name,
            help=description.partition(": ")[2].partition("\n")[0],
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--json", type=Path, metavar="FILE", help="all rounds, as JSON")
        command.add_argument("--cpus", help="CPUs to run everything on, e.g. 0,1 (default: all)")
        command.add_argument("--timeout", type=float, default=1800, help="seconds for one child")
    return parser


if __name__ == "__main__":
    sys.exit(main())
