"""Importing the web packages is cheap: no model library, no file of ours, no environment."""

import subprocess
import sys

SCRIPT = """
import builtins, io, os, sys
opened = []
sys.addaudithook(lambda event, a: opened.append(str(a[0])) if event == "open" else None)
import web, web.command_line, web.server, search_api.routes
heavy = [name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules]
ours = [path for path in opened if path.endswith((".html", ".css", ".json", "CURRENT", ".sqlite"))
        and ("/web/" in path or "/trine" in path)]
print(heavy, ours)
"""


def test_importing_web_loads_no_model_library_and_reads_no_file_of_ours() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[] []"
