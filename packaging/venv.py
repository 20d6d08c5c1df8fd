"""A Python with the client that the tests of packages, image and book use."""

import importlib.util
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "packaging" / ".work"


def enter(*requirements, module="pika"):
    """Goes on in a virtual environment that has `requirements`, unless `module` is here already."""
    if importlib.util.find_spec(module):
        return
    venv = WORK / f"venv-{module}"
    python = venv / "bin" / "python"
    stamp = venv / "installed.txt"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        if os.environ.get("LEVERET_VENV") == str(venv):
            sys.exit(f"FAIL {venv} has no {module}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        *requirements], check=True)
        stamp.write_text(wanted)
    os.environ["LEVERET_VENV"] = str(venv)
    os.execv(python, [str(python), *sys.argv])
