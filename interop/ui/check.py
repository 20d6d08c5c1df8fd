#!/usr/bin/env python3
"""Checks the web pages' sources without a browser: nothing inline, no markup made of text, every
import there and used, no long file, no long line in a script. Exits with 1 and says where."""

import html.parser
import pathlib
import re
import sys

WEB = pathlib.Path(__file__).resolve().parents[2] / "crates" / "management" / "web"
LINES_MAX = 700
COLUMNS_MAX = 100
FORBIDDEN = {
    r"\b(inner|outer)HTML\b": "markup from text",
    r"\binsertAdjacentHTML\b": "markup from text",
    r"\bdocument\.write\b": "markup from text",
    r"\bDOMParser\b|\bcreateContextualFragment\b|\bsetHTMLUnsafe\b": "markup from text",
    r"\beval\s*\(|\bnew Function\b": "code from text",
    r"set(Timeout|Interval)\(\s*['\"`]": "code from text",
    r"setAttribute\(\s*['\"](style|on\w+)['\"]": "an inline style or handler",
    r"\.cssText\b": "an inline style",
    r"\bsessionStorage\b|\bindexedDB\b|document\.cookie": "storage that is not settings.js's",
    r"https?://(?!www\.w3\.org/2000/svg)": "an address elsewhere",
}
IMPORT = re.compile(r"^import\s+(?:\{(?P<names>[^}]*)\}\s+from\s+)?'(?P<path>[^']+)';", re.M | re.S)
EXPORT = re.compile(r"^export\s+(?:async\s+)?(?:function|class|const)\s+(\w+)", re.M)


class Markup(html.parser.HTMLParser):
    """Finds what runs or styles within a page, and what the page loads."""

    def __init__(self):
        super().__init__()
        self.problems, self.files, self._inside = [], [], None

    def handle_starttag(self, tag, attributes):
        self._inside = tag if tag in ("script", "style") else None
        for name, value in attributes:
            if name.startswith("on") or name == "style":
                self.problems.append(f"inline attribute {name} on <{tag}>")
            if name in ("src", "href"):
                self.files.append(value)

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside and data.strip():
            self.problems.append(f"text within <{self._inside}>")


def without_comments(text):
    return re.sub(r"/\*.*?\*/|(?<![:'\"`])//[^\n]*", "", text, flags=re.S)


def check_markup(file, problems):
    markup = Markup()
    markup.feed(file.read_text())
    problems += [f"{file.name}: {problem}" for problem in markup.problems]
    for name in markup.files:
        if not (WEB / name).is_file():
            problems.append(f"{file.name}: {name} is not there")


def check_script(file, problems, reached):
    where, text = file.relative_to(WEB), file.read_text()
    if not text.startswith("/*"):
        problems.append(f"{where}: does not begin by saying what it owns")
    code = without_comments(text)
    for pattern, what in FORBIDDEN.items():
        for found in re.finditer(pattern, code):
            problems.append(f"{where}: {found.group()!r} is {what}")
    if "localStorage" in code and file.name not in ("settings.js", "early.js"):
        problems.append(f"{where}: localStorage is settings.js's")
    for found in IMPORT.finditer(code):
        target = (file.parent / found["path"]).resolve()
        reached.add(target)
        if not target.is_file():
            problems.append(f"{where}: {found['path']} is not there")
            continue
        offered = set(EXPORT.findall(target.read_text()))
        rest = code[:found.start()] + code[found.end():]
        for name in filter(None, (part.strip() for part in (found["names"] or "").split(","))):
            if name not in offered:
                problems.append(f"{where}: {found['path']} does not export {name}")
            if not re.search(rf"\b{name}\b", rest):
                problems.append(f"{where}: {name} is imported and not used")


def main():
    problems, reached = [], {WEB / "js" / "early.js", WEB / "js" / "app.js"}
    files = sorted(path for path in WEB.rglob("*") if path.is_file())
    for file in files:
        lines = file.read_text().splitlines()
        if len(lines) > LINES_MAX:
            problems.append(f"{file.relative_to(WEB)}: {len(lines)} lines")
        if file.suffix == ".js":
            problems += [f"{file.relative_to(WEB)}:{number}: {len(line)} columns"
                         for number, line in enumerate(lines, 1) if len(line) > COLUMNS_MAX]
            check_script(file, problems, reached)
        if file.suffix == ".html":
            check_markup(file, problems)
        if file.suffix == ".svg" and re.search(r"<script|\bon\w+=|href=", file.read_text()):
            problems.append(f"{file.relative_to(WEB)}: a picture that runs or loads something")
    for file in files:
        if file.suffix == ".js" and file not in reached:
            problems.append(f"{file.relative_to(WEB)}: nothing imports it")
    for problem in problems:
        print(problem)
    print(f"{len(files)} files of the web pages: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
