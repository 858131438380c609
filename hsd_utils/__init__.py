"""Shared code of the notebooks: explainable hate-speech detection by distillation.

The package is thin and layered: data, language, models, measures, report, pipeline.  Each
layer imports only from those above it in the table of README.md, here beside, and the data,
language and measures layers import without torch.
"""

__version__ = "0.1.0"
