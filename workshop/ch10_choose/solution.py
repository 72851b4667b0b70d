"""Chapter 10: choose. Read the comparison of all seven agents, and choose by your own criteria.

uv run tour workshop check 10
"""

import json
import sys
from pathlib import Path

from tour.report import Report


def choose(report: Report) -> dict[str, object]:
    """Answer from the report of a run; name each framework by its folder (`framework.name`)."""
    last = {framework.name: framework.runs[-1] for framework in report.frameworks}
    return {
        "remember a user's last claim": [f.name for f in report.frameworks if f.code.session != "none"],
        "writes the most into its journal": max(last, key=lambda name: last[name].journal_bytes),
        "sends the model the fewest tokens": min(last, key=lambda name: last[name].tokens_read),
        "my choice": "restate_loop",
        "because": "we want to know every step by name",
    }


if __name__ == "__main__":
    print(json.dumps(choose(Report.model_validate_json(Path(sys.argv[1]).read_bytes()))))
