"""What is measured of one contestant: throughput, processor time, round trips, memory. One dictionary a run."""
import os
import pathlib
import re
import statistics
import subprocess
import time

import lab as labs
import programs

TICKS = os.sysconf("SC_CLK_TCK")
PING_COUNT, PING_WARM = 500, 50


def family(pid):
    """A process and what it has started."""
    result = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            result += family(int(child))
    return result


def tunnel_pids(contestant):
    return [pid for process in contestant.processes for pid in family(process.pid)]


def cpu_seconds(contestant):
    """User and system time of the tunnel's processes on both ends."""
    total = 0
    for pid in tunnel_pids(contestant):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def forget_peak(contestant):
    """Starting up is not what memory under load is about."""
    for pid in tunnel_pids(contestant):
        pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_memory_mib(contestant):
    """The larger end's peak of resident memory, since forget_peak()."""
    def of(process):
        return sum(int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024 for pid in family(process.pid))
    return max((of(process) for process in contestant.processes), default=0)


class Failed(Exception):
    """A measurement that came to no result."""


def iperf(contestant, server, *options, seconds):
    deadline = time.monotonic() + 5
    while True:
        try:
            return server.measure(contestant.a, contestant.address, "-t", seconds, *options, timeout=seconds + 20)
        except (labs.LabError, subprocess.TimeoutExpired, ValueError) as e:
            # Its server may not have noticed yet that the test before is over.
            if "busy" not in str(e) or time.monotonic() > deadline:
                raise Failed(f"iperf3 {' '.join(map(str, options))}: {e}".split("\n")[0]) from None
            time.sleep(0.2)


def tcp(contestant, server, seconds, streams):
    before = cpu_seconds(contestant)
    end = iperf(contestant, server, "-P", streams, seconds=seconds)["end"]
    return {"gbits": end["sum_received"]["bits_per_second"] / 1e9, "retransmits": end["sum_sent"]["retransmits"],
            "cpu": (cpu_seconds(contestant) - before) / (end["sum_sent"]["bytes"] / 1e9)}


def udp(contestant, server, seconds, length):
    """Datagrams delivered, in thousands a second, however many were sent."""
    end = iperf(contestant, server, "-u", "-b", "0", "-l", length, seconds=seconds)["end"]
    received = end["sum_received"]
    return {"kpps": received["bytes"] / length / received["seconds"] / 1000,
            "out_of_order": sum(stream["udp"]["out_of_order"] for stream in end["streams"])}


def round_trips(contestant, count=PING_COUNT):
    """µs, of pings 2 ms apart on an idle tunnel."""
    text = contestant.a.run(["ping", f"-c{count}", "-i0.002", contestant.address], timeout=30, check=False).stdout
    times = sorted(float(t) * 1000 for t in re.findall(r"time=([\d.]+)", text)[min(PING_WARM, count // 2):])
    if not times:
        raise Failed("no ping is answered")
    return {"p50": statistics.median(times), "p99": times[int(len(times) * 0.99)]}


def measure(contestant, seconds, note):
    """One run. A measurement that fails is None; note() hears why."""
    server = programs.Iperf(contestant.b)
    row = {"first_reply": contestant.first_reply * 1000}

    def take(names, function, *arguments):
        result = {}
        try:
            result = function(*arguments)
        except Failed as e:
            note(f"{contestant.name}: {e}")
        row.update({name: result.get(key) for key, name in names.items()})

    # Idle first: some programs need a moment until they are on the direct path, or know what it takes.
    warm_up(contestant)
    forget_peak(contestant)
    take({"p50": "rtt50", "p99": "rtt99"}, round_trips, contestant)
    take({"gbits": "tcp1", "cpu": "cpu", "retransmits": "retransmits"}, tcp, contestant, server, seconds, 1)
    take({"gbits": "tcp4"}, tcp, contestant, server, seconds, 4)
    take({"kpps": "udp64", "out_of_order": "out_of_order"}, udp, contestant, server, seconds, 64)
    take({"kpps": "udp1400"}, udp, contestant, server, seconds, 1400)
    row["rss"] = peak_memory_mib(contestant)
    return row


def warm_up(contestant):
    deadline = time.monotonic() + 10
    while contestant.a.run(["ping", "-q", "-c20", "-i0.01", "-W1", contestant.address], check=False).returncode:
        if time.monotonic() > deadline:
            raise labs.LabError(f"{contestant.name}: not reached for 10 s")
