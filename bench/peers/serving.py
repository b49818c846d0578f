"""What the peers' servers share: cases as JSON lines in, measured seconds as JSON lines out (see ../alternate.py)."""
import json
import resource
import statistics
import sys
import time

# A case is repeated for about this long; the runner comes back as often as it likes.
SECONDS = 0.3


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_once(work):
    """Seconds on the wall and of all processors."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def fastest(ways):
    """The name and the work of the fastest of `ways`, a dictionary: a peer is shown at its best."""
    times = {name: [] for name in ways}
    for work in ways.values():
        work()
    for _ in range(3):
        for name, work in ways.items():
            times[name].append(time_once(work)[1])
    name = min(ways, key=lambda name: min(times[name]))
    return name, ways[name]


def measure(work):
    times = []
    while sum(wall for wall, _ in times) < SECONDS:
        times.append(time_once(work))
    seconds, processor = (statistics.median(t) for t in zip(*times))
    return {"seconds": seconds, "cpu_seconds": processor, "repeats": len(times)}


def serve(name, prepare):
    """Answers cases until input ends. `prepare(case)` returns the chosen way's name and the work to time, already warm.

    It raises ValueError for a case that it does not have.
    """
    baseline, known, way, work = peak_mb(), None, None, None
    for line in sys.stdin:
        try:
            case = json.loads(line)
            if case != known:
                work = None  # its memory goes before the next is taken
                way, work = prepare(case)
                work()
                known = case
            answer = measure(work) | {"peak_rss_mb": peak_mb(), "baseline_rss_mb": baseline, "way": way}
        except (KeyError, ValueError) as error:
            known, answer = None, {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"name": name} | answer), flush=True)
