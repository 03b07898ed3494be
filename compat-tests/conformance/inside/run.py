"""Runs the checks of the modules that the command names."""

import importlib
import sys

import report

for module in sys.argv[1:]:
    importlib.import_module(module)
report.run()
