"""Makes Restate's Pydantic AI integration cheap: one TypeAdapter per type instead of one per model call.

`restate.ext.pydantic` 1.3.0 builds a new adapter each time it writes a model's answer to the journal, which takes
21 ms of CPU where the writing itself takes 0.01 ms. No setting avoids this, so its name for
`TypeAdapter` is replaced by a cached one. Importing this module is enough.
"""

import functools

from pydantic import TypeAdapter
from restate.ext.pydantic import _serde

if vars(_serde).get("TypeAdapter") is not TypeAdapter:
    raise ImportError("restate.ext.pydantic has changed: see whether quick_serde.py is still needed")
vars(_serde)["TypeAdapter"] = functools.cache(TypeAdapter)
