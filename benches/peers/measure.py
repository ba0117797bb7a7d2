"""Runs a command and appends its wall time and the largest resident set of any of its processes to a file.

Usage: measure.py FILE NAME COMMAND...   Each line of FILE: NAME, seconds, MiB. Exits with the command's code.
measure.py --summary FILE OURS PEER=LABEL...: prints medians, and the ratio of OURS to each peer.
"""
import os
import statistics
import sys
import time


def measure(path, name, command):
    begin = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - begin
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{name}\t{seconds:.4f}\t{usage.ru_maxrss / 1024:.1f}\n")
    return os.waitstatus_to_exitcode(status)


def summary(path, ours, peers):
    runs = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, seconds, mib = line.rstrip("\n").split("\t")
            runs.setdefault(name, []).append((float(seconds), float(mib)))
    medians = {name: statistics.median(s for s, _ in values) for name, values in runs.items()}
    print(f"{'what':<44}{'median s':>10}{'min':>9}{'max':>9}{'peak MiB':>10}")
    for name, values in runs.items():
        times = [s for s, _ in values]
        peak = max(m for _, m in values)
        print(f"{name:<44}{medians[name]:>10.2f}{min(times):>9.2f}{max(times):>9.2f}{peak:>10.0f}")
    for peer in peers:
        ratio = medians[ours] / medians[peer]
        words = f"{ratio:.2f} times the time" if ratio >= 1 else f"{1 / ratio:.2f} times as fast"
        print(f"{ours} against {peer}: {words}")


if __name__ == "__main__":
    if sys.argv[1] == "--summary":
        summary(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        code = measure(sys.argv[1], sys.argv[2], sys.argv[3:])
        sys.exit(code if code >= 0 else 128 - code)
