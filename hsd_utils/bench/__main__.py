"""Runs the benchmark that is named first: ``python -m hsd_utils.bench teacher --run mine``."""

import runpy
import sys

from hsd_utils import bench

if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in bench.BENCHMARKS:
        sys.exit(f"usage: python -m hsd_utils.bench {{{','.join(bench.BENCHMARKS)}}} ...")
    runpy.run_module(f"hsd_utils.bench.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True)
