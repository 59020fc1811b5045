"""The way of one trial through the code stays short: a floor of the design."""

import sys
from pathlib import Path

import luthier as lt

PACKAGE = str(Path(lt.__file__).parent)
SPACE = lt.Space(lr=lt.Float(1e-5, 1e-1, log=True), width=lt.Int(16, 512), opt=lt.Choice("adam", "sgd"))


def trace_one_trial():
    """Trace from inside the objective of one trial to inside that of the next: (caller file, file, function)."""
    events, stack, count = [], [], 0

    def profile(frame, event, _):
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE):
            return
        if event == "call":
            caller = frame.f_back
            while caller is not None and not caller.f_code.co_filename.startswith(PACKAGE):
                caller = caller.f_back
            events.append((caller.f_code.co_filename if caller else "", file, frame.f_code.co_qualname))

    def objective(lr, width, opt):
        nonlocal count
        count += 1
        if count == 10:
            sys.setprofile(profile)
        elif count == 11:
            sys.setprofile(None)
        return lr

    lt.tune(
        objective, SPACE, minimize=True, budget=12, workers=0, search="random", schedule="full", view="none", seed=1
    )
    assert not stack
    return events


def test_one_random_trial_takes_at_most_60_calls_in_9_files_with_20_hops():
    events = trace_one_trial()
    hops = sum(1 for caller, file, _ in events if caller and caller != file)
    files = {file for _, file, _ in events}
    report = "\n".join(f"{Path(c).stem:>10} -> {Path(f).stem}.{name}" for c, f, name in events)
    assert len(events) <= 60, report
    assert len(files) <= 9, sorted(files)
    assert hops <= 20, report


def test_the_files_of_one_trial_call_each_other_in_one_direction():
    edges = {(caller, file) for caller, file, _ in trace_one_trial() if caller and caller != file}
    reachable = {file: {b for a, b in edges if a == file} for file in {e for edge in edges for e in edge}}
    for _ in reachable:
        for targets in reachable.values():
            targets |= set().union(*(reachable[t] for t in targets))
    assert not [file for file, targets in reachable.items() if file in targets]
