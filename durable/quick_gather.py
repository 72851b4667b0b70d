"""Makes wide fan-outs cheap: the futures that a handler awaits are converted once instead of at every poll.

restate-sdk 1.3.0 polls its core three times per step, and each time makes a native object of every awaited future: 12
million objects for 2000 steps. No setting avoids this, so this module replaces the SDK's function with one that keeps
the object. Importing the module is enough. The work of the core still grows with the square of the steps
(`PyVM.do_progress` looks at every awaited future), which is noticeable from about 1000 steps.
"""

import functools
from typing import Any

from restate import vm

from durable import parts

parts.check(__name__)
_convert = vars(vm)["_unresolved_future_to_pyo3"]


@functools.wraps(_convert)
def _converted(future: vm.UnresolvedFuture) -> Any:
    kept = vars(future)  # not a cache by value, which would compare 1000 children
    if "_converted" not in kept:
        kept["_converted"] = _convert(future)
    return kept["_converted"]


vars(vm)["_unresolved_future_to_pyo3"] = _converted
