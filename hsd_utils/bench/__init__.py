"""Benchmarks: one command each, ratios within one run, results as JSON.

python -m hsd_utils.bench teacher --run reference
python -m hsd_utils.bench training --run reference
python -m hsd_utils.bench student --run reference
python -m hsd_utils.bench store --answers 1200000 --run reference
"""

BENCHMARKS = ("store", "student", "teacher", "training")
