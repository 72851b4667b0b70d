"""An agent of the tour on the SDKs as they come: without the modules of the tour that make them quick.

The benchmark starts this file in place of the agent's own. Everything else is the agent's.
"""

import os
import runpy
import sys
from types import ModuleType

from tour.runtime.frameworks import FAN_OUT, PYTHON, ROOT, Pattern

AS_IT_COMES = Pattern(
    "as-it-comes", "on the SDKs as they come", str(ROOT / "bench/as_it_comes.py"), FAN_OUT.service, "as_it_comes"
)

QUICK = ("durable.quick_gather", "durable.exact.pydantic_ai", "durable.quick_spans")
"""The modules that replace functions of the SDKs with equivalents that take less CPU, or set an option for it."""

if __name__ == "__main__":
    for module in QUICK:
        sys.modules[module] = ModuleType(module)
    prefixes = {framework.prefix(AS_IT_COMES): framework for framework in PYTHON}
    runpy.run_path(str(prefixes[os.environ["TOUR_SERVICE_PREFIX"]].entrypoint), run_name="__main__")
