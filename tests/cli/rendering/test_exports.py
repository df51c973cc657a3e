"""What a person reads of exports and benchmarks: every figure where it belongs."""

import io
import re

from rich.console import Console

from kdistill.cli.rendering import exports


def text(renderable, width=220):
    stream = io.StringIO()
    Console(file=stream, width=width).print(renderable)
    return stream.getvalue()


def test_an_export():
    shown = text(
        exports.export(
            {
                "path": "runs/x/model-int8.tflite",
                "format": "litert",
                "quantize": "int8",
                "outputs": "logits",
                "model": "model.keras",
                "parameters": 12345,
                "shape": [28, 28],
                "classes": ["a", "b", "c"],
                "file_bytes": 23456,
                "parity": {
                    "examples": 10000,
                    "largest_difference": 0.377,
                    "largest_share": 0.0471,
                    "agreement": 0.9945,
                    "accuracy": 0.79,
                    "model_accuracy": 0.795,
                    "tolerance": {"difference": 0.25, "agreement": 0.97},
                },
            }
        )
    )
    for part in (
        "litert, quantization: int8",
        "runs/x/model-int8.tflite (23.5 kB)",
        "12,345 parameters",
        "float32 (n, 28, 28); logits",
        "99.45 % equal labels on 10,000 test examples",
        "; outputs differ by at most 0.377, 4.7 % of their size (accepted: 25 %)",
        "0.7900 in its own runtime (-0.50 points relative to the model)",
    ):
        assert part in shown


def row(name, factor, difference=None, memory=400e6):
    timed = {"calls": 200, "p50_ms": 0.5 / factor, "p90_ms": 6.0 / factor, "p99_ms": 70.0 / factor, "per_second": 2000}
    return {
        "name": name,
        "accuracy": 0.9,
        "file_bytes": 1_234_567,
        "parameters": 98_765,
        "largest_difference": difference,
        "latency": {"1": timed, "32": timed},
        "peak_memory_bytes": memory,
        "ratios": {
            "file_bytes": factor,
            "parameters": None,
            "peak_memory_bytes": 1.5,
            "throughput": {"1": 12.34, "32": 5.678},
            "accuracy_points": -0.5,
        },
    }


def benchmark(*rows):
    info = {"machine": "a processor", "cores": 2, "platform": "Linux", "threads": 3, "how": "in some way"}
    return {
        "experiment": "mine",
        "split": "test",
        "examples": 10000,
        "reference": "teacher",
        "rows": rows,
        "run_info": {**info, "versions": {"tensorflow": "2.21.0", "onnxruntime": None}},
    }


def test_a_benchmark():
    shown = text(exports.benchmark(benchmark(row("teacher", 1), row("distilled LiteRT", 100, 0.0123, None))))
    assert "mine: test split, 10,000 examples" in shown
    figures = [re.split(r" {2,}", line.strip()) for line in shown.splitlines()]
    assert figures[2][:9] == ["teacher", "0.9000", "1,235 kB", "0.500", "6.000", "70.0", "0.500", "6.000", "70.0"]
    assert figures[2][9:] == ["-", "98,765", "400 MB"]
    times = ["0.0050", "0.0600", "0.700"]
    assert ["distilled LiteRT", "0.9000", "1,235 kB", *times, *times, "0.012", "98,765", "-"] == figures[3]
    assert "relative to teacher" in shown
    assert ["distilled LiteRT", "100.0x", "12.3x", "5.68x", "-0.50", "-", "1.50x"] in figures
    assert "a processor, 2 cores; Linux" in shown
    assert "tensorflow 2.21.0" in shown
    assert "onnxruntime" not in shown


def test_a_narrow_terminal_keeps_the_names_and_says_what_is_left_out():
    shown = text(exports.benchmark(benchmark(row("teacher", 1))), width=60)
    assert "teacher" in shown
    assert "Hidden at this width" in shown
