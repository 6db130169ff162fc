"""Exit status 0 if a run has reached its last step and has its summary: is_complete.py RUN. An interrupted one may have a summary too."""

import json
import sys
from pathlib import Path

path = Path(sys.argv[1]) / "summary.json"
summary = json.loads(path.read_text()) if path.exists() else {"n_steps": 0, "total_steps": 1}
sys.exit(summary["n_steps"] < summary["total_steps"])
