"""`luthier fit` against other tools on real data sets, the same minutes each, in turn on the same cores.

python benchmarks/fit_data.py DIR
python benchmarks/fit.py DIR [--sets fashion,text] [--tools luthier,optuna] [--minutes 10] [--repeats 3]
                         [--python keras=VENV/bin/python ...] [--log results.jsonl]

Prints a table of test scores: accuracy, or R2 for `ames`. A tool that another virtual environment holds is given its
interpreter with --python. Results are appended to the log, and what is there already is not run again.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TOOLS = {
    "fashion": ["luthier", "ensemble", "optuna", "keras", "autokeras", "network", "boosting"],
    "text": ["luthier", "ensemble", "network", "boosting"],
    "audio": ["luthier", "ensemble", "network", "boosting"],
    "letters": ["luthier", "ensemble", "autogluon", "network", "boosting"],
    "satellite": ["luthier", "ensemble", "autogluon", "network", "boosting"],
    "ames": ["luthier", "ensemble", "autogluon", "network", "boosting"],
}
ONE = Path(__file__).with_name("fit_one.py")


def run(tool, folder, minutes, *, seed, python):
    """The JSON line of one tool, or what went wrong."""
    command = [python, str(ONE), tool, str(folder), str(minutes), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        return {"tool": tool, "failed": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("place", type=Path)
    parser.add_argument("--sets", default=",".join(TOOLS))
    parser.add_argument("--tools")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--python", nargs="*", default=[])
    parser.add_argument("--log", type=Path, default=Path("fit.jsonl"))
    options = parser.parse_args()
    pythons = dict(pair.split("=", 1) for pair in options.python)
    sets = options.sets.split(",")
    there = [json.loads(line) for line in options.log.read_text().splitlines()] if options.log.exists() else []
    for seed in range(options.repeats):
        for name in sets:
            for tool in TOOLS[name]:
                key = {"set": name, "seed": seed, "minutes": options.minutes, "tool": tool}
                wanted = not options.tools or tool in options.tools.split(",")
                if not wanted or any(key.items() <= line.items() and "score" in line for line in there):
                    continue
                found = run(
                    tool, options.place / name, options.minutes, seed=seed, python=pythons.get(tool, sys.executable)
                )
                there.append(key | found)
                with options.log.open("a") as log:
                    log.write(json.dumps(there[-1]) + "\n")
                print(json.dumps(there[-1]), flush=True)
    table(there, sets, options.minutes)


def table(lines, sets, minutes):
    """Mean test score and its range, by tool and set."""
    tools = list(dict.fromkeys(tool for name in sets for tool in TOOLS[name]))
    print("\n| |", " | ".join(sets), "|\n|" + "---|" * (len(sets) + 1))
    for tool in tools:
        cells = []
        for name in sets:
            scores = [
                line["score"] for line in lines
                if (line["set"], line["tool"], line["minutes"]) == (name, tool, minutes) and "score" in line
            ]  # fmt: skip
            spread = f" ({min(scores):.3f}-{max(scores):.3f})" if len(scores) > 1 else ""
            cells.append(f"{statistics.mean(scores):.3f}{spread}" if scores else "")
        print(f"| {tool} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
