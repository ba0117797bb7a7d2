"""Runs a command and appends what it took to a file: wall time, the largest resident set of any of its processes, and
the processor time of all of them.

Usage: measure.py FILE NAME COMMAND...   Each line of FILE: NAME, seconds, MiB, seconds. Exits with the command's code.
measure.py --summary FILE OURS PEER...: prints medians, the largest memory, and the ratios of OURS to each peer. Where
others use the machine too, the ratio of processor times is the steadier one; servers are in neither.
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
        cpu = usage.ru_utime + usage.ru_stime
        file.write(f"{name}\t{seconds:.4f}\t{usage.ru_maxrss / 1024:.1f}\t{cpu:.4f}\n")
    return os.waitstatus_to_exitcode(status)


def summary(path, ours, peers):
    runs = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, *numbers = line.rstrip("\n").split("\t")
            runs.setdefault(name, []).append(tuple(float(number) for number in numbers))
    wall = {name: statistics.median(run[0] for run in values) for name, values in runs.items()}
    cpu = {name: statistics.median(run[2] for run in values) for name, values in runs.items()}
    memory = {name: max(run[1] for run in values) for name, values in runs.items()}
    print(f"{'what':<44}{'median s':>10}{'min':>9}{'max':>9}{'CPU s':>9}{'peak MiB':>10}")
    for name, values in runs.items():
        times = [run[0] for run in values]
        print(f"{name:<44}{wall[name]:>10.2f}{min(times):>9.2f}{max(times):>9.2f}{cpu[name]:>9.2f}{memory[name]:>10.0f}")
    for peer in peers:
        ratio = wall[ours] / wall[peer]
        words = f"{ratio:.2f} times the time" if ratio >= 1 else f"{1 / ratio:.2f} times as fast"
        print(
            f"{ours} against {peer}: {words}, {cpu[ours] / cpu[peer]:.2f} times the processor time, "
            f"{memory[ours] / memory[peer]:.2f} times the memory"
        )


if __name__ == "__main__":
    if sys.argv[1] == "--summary":
        summary(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        code = measure(sys.argv[1], sys.argv[2], sys.argv[3:])
        sys.exit(code if code >= 0 else 128 - code)
