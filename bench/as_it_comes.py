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

REPLACED = (
    "durable.quick_spans",
    "durable.exact.langchain",
    "durable.exact.openai_agents",
    "durable.exact.pydantic_ai",
)
"""The modules that replace parts of the SDKs: for an exact journal, or for less CPU."""

if __name__ == "__main__":
    for module in REPLACED:
        sys.modules[module] = ModuleType(module)
    prefixes = {framework.prefix(AS_IT_COMES): framework for framework in PYTHON}
    runpy.run_path(str(prefixes[os.environ["TOUR_SERVICE_PREFIX"]].entrypoint), run_name="__main__")
