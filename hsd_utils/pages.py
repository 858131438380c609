"""The pages of a run, made from its files: results.md, claims.md and, of a template, README.md.

python -m hsd_utils.pages demo                 # writes them in outputs/demo
python -m hsd_utils.pages reference --readme   # and what the project's README shows of them
"""

import argparse
import json

from hsd_utils import claims, findings, paths, summary, tables
from hsd_utils.paths import Run

CLUSTER = "hsd_utils/engines/cluster.md"  # what more posts would take, by the reference run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m hsd_utils.pages", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run")
    parser.add_argument("--readme", action="store_true", help="put them into README.md too")
    parser.add_argument("--price-in", type=float, default=0.6, help="for a million tokens")
    parser.add_argument("--price-out", type=float, default=0.8, help="for a million tokens")
    options = parser.parse_args()
    run = Run(options.run)
    summary.write(run)
    (_, _, claimed), said = claims.write(run).partition("\n\n"), ""
    made = [run.summary, run.folder / claims.PAGE]
    if (run.folder / findings.TEMPLATE).exists():
        page, said = findings.render(run)
        made.append(run.folder / findings.PAGE)
        made[-1].write_text(page, encoding="utf-8")
    print(*made, sep="\n")
    if not options.readme:
        return
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    blocks = {
        "findings": said,
        "results": f"Run `{run.name}`. {summary.describe(metrics)}",
        "claims": f"Run `{run.name}`. {claimed}",
        "benchmarks": summary.benchmarks(run),
    }
    for marker, text in blocks.items():
        if text:
            tables.insert(paths.REPOSITORY / "README.md", marker, text)
    if run.name == "reference" and "teacher" in metrics:
        scaled = summary.scale(metrics, options.price_in, options.price_out)
        tables.insert(paths.REPOSITORY / CLUSTER, "scale", tables.markdown(scaled, digits=1))


if __name__ == "__main__":
    main()
