"""Holds slither's findings (JSON on standard input) to the answers in a file: each finding has one, and each
answer a finding.  An answer's name is `detector Contract` or `detector Contract.function`."""

import json
import sys
from pathlib import Path


def names(finding):
    """What an answer to the finding may be called."""
    element = finding["elements"][0]
    parent = element.get("type_specific_fields", {}).get("parent") or {}
    if parent.get("type") == "function":  # A variable, or a statement, in a function.
        element, parent = parent, parent.get("type_specific_fields", {}).get("parent") or {}
    contract = parent.get("name") or element["name"]
    return [f"{finding['check']} {contract}.{element['name']}", f"{finding['check']} {contract}"]


def main():
    output = json.load(sys.stdin)
    if not output["success"]:
        sys.exit(f"slither: {output['error']}")
    answers = json.loads(Path(sys.argv[1]).read_text())
    unanswered, used = [], set()
    for finding in output["results"].get("detectors", []):
        found = [name for name in names(finding) if name in answers]
        used.update(found)
        if not found:
            unanswered.append(f"{names(finding)[0]}\n    {finding['description'].strip()}")
    stale = answers.keys() - used
    print(f"slither: {len(output['results'].get('detectors', []))} findings, {len(unanswered)} unanswered")
    for text in unanswered:
        print(f"  unanswered: {text}")
    for name in sorted(stale):
        print(f"  answers nothing: {name}")
    sys.exit(bool(unanswered or stale))


main()
