"""Benchmarks: one command each, ratios within one run, results as JSON on standard output.

python -m hsd_utils.bench store --answers 1200000
python -m hsd_utils.bench sampling --rows 1200000
"""

BENCHMARKS = ("sampling", "store")
