"""Print what each suite of a CI run passed, and fail where something was skipped that must not be.

The argument is a folder of JUnit files; their names, in order, name the suites.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

ALLOWED_SKIPS = {
    "root may read everything": "CI runs as root, to whom no file is unreadable",
    "there is no suite of cache-tests": "the data of the conformance suite is not part of the project",
}
"""The reasons for which a test may be skipped in CI, and why each is allowed. Matched from the beginning."""


def main(folder: Path) -> int:
    """Return the exit code: 1 where a suite is empty or a skip is not allowed."""
    reports = sorted(folder.glob("*.xml"))
    bad = [] if reports else [f"there are no reports in {folder}"]
    for report in reports:
        line, problems = read(report)
        bad += problems
        print(line)
    for problem in bad:
        print(f"ci: {problem}", file=sys.stderr)
    return 1 if bad else 0


def read(report: Path) -> tuple[str, list[str]]:
    """A line in pytest's own words, and what is wrong with this suite."""
    name = report.stem.partition("-")[2]
    suites = list(ET.parse(report).getroot().iter("testsuite"))  # noqa: S314  # written by our own pytest
    total, failed, skipped = (
        sum(int(suite.get(key, "0")) for suite in suites for key in keys)
        for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    passed = total - failed - skipped
    parts = [f"{failed} failed"] * bool(failed) + [f"{passed} passed"] + [f"{skipped} skipped"] * bool(skipped)
    problems = [f"{name}: nothing passed"] if passed < 1 else []
    problems += [f"{name}: {failed} failed"] if failed else []
    for case in report_cases(suites):
        for skip in case.findall("skipped"):
            reason = skip.get("message", "")
            if not reason.startswith(tuple(ALLOWED_SKIPS)):
                problems.append(f"{name}: {case.get('file')}::{case.get('name')} was skipped: {reason}")
    return f"{name:<12} ===== {', '.join(parts)} in {seconds:.2f}s =====", problems


def report_cases(suites: list[ET.Element]) -> list[ET.Element]:
    """All test cases of the suites."""
    return [case for suite in suites for case in suite.iter("testcase")]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
