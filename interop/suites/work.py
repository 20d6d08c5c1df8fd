"""The work folder and the running of other programs in it."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE.parent / ".work" / "suites"
DOWNLOAD_S = 900


class Failure(Exception):
    """A suite could not be prepared or run."""


def run(command, *, cwd, log, timeout, env=None, stdout=None):
    """Runs a program with its output in `log` (or `stdout`); returns its exit code.

    It runs in a process group of its own, which is ended with it. None if the time was up.
    """
    with open(log, "ab") as output:
        output.write(f"$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        process = subprocess.Popen(
            list(map(str, command)), cwd=cwd, env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL, stdout=stdout or output, stderr=output,
            start_new_session=True)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def must(command, *, cwd, log, timeout=DOWNLOAD_S, env=None, stdout=None):
    """Runs a program that has to succeed."""
    code = run(command, cwd=cwd, log=log, timeout=timeout, env=env, stdout=stdout)
    if code != 0:
        tail = log.read_text("utf-8", "replace")[-1500:]
        raise Failure(f"{' '.join(map(str, command))}: exit code {code}\n{tail}")


def once(folder, make):
    """Makes a folder with `make(folder)` unless an earlier run has made it in full."""
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        (folder / ".complete").touch()
    return folder


def fresh_copy(source, name):
    """A writable copy to change and run, in place of the one of the run before."""
    target = WORK / "run" / name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    for path in [target, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)
    return target


def substitute(folder, globs, changes):
    """Replaces by regular expression in the files; each expression has to occur."""
    files = sorted({path for glob in globs for path in folder.glob(glob)})
    missing = [expression for expression, _ in changes]
    for path in files:
        before = path.read_text("utf-8")
        text = before
        for expression, replacement in changes:
            text, count = re.subn(expression, lambda _, new=replacement: new, text)
            if count and expression in missing:
                missing.remove(expression)
        if text != before:
            path.write_text(text, "utf-8")
    if missing:
        raise Failure(f"nothing to replace in {folder.name}: {missing}")


def virtual_environment(log, packages):
    """A Python with pytest and the packages; made once for each set of them."""
    wanted = [*packages, *(HERE / "requirements.txt").read_text().splitlines()]
    wanted = sorted(line for line in wanted if line and not line.startswith("#"))

    def make(folder):
        must([sys.executable, "-m", "venv", folder], cwd=WORK, log=log)
        must([folder / "bin/python", "-m", "pip", "install", "--quiet", *wanted],
             cwd=WORK, log=log)
        (folder / "wanted.json").write_text(json.dumps(wanted))

    folder = WORK / "venv"
    marker = folder / "wanted.json"
    if not marker.exists() or json.loads(marker.read_text()) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
    return once(folder, make) / "bin/python"
