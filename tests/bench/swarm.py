"""One detecd, a real one, with thousands of tunnels: what they cost to make, to keep and to ask about.

    server (detecd) ── 192.0.2.1 ══ wire ══ 192.0.2.2 ── swarm (a connector, and N hosts at 198.18.0.0/15)

The hosts and their connector are one program, tests/bench/swarm.c.
"""
import os
import socket
import subprocess
import threading
import time

import lab as labs
import programs

PROGRAM = labs.BUILD / "tests/bench/swarm"
ZONE = "many.example"
ADDRESS = {"server": "192.0.2.1", "swarm": "192.0.2.2"}
FIRST = "198.18.0.0"
TICK = os.sysconf("SC_CLK_TCK")


class Swarm:
    """count: hosts that there are; call() has so many of them call."""

    def __init__(self, lab, count, **settings):
        self.lab, self.count, self.taken = lab, count, 0
        self.server, self.node = labs.Node(lab, "server"), labs.Node(lab, "swarm")
        lab.wire(self.server, "eth0", self.node, "eth0")
        for node in (self.server, self.node):
            node.ip(f"addr add {ADDRESS[node.name]}/24 dev eth0", "link set dev lo up")
        self.server.ip(f"route add default via {ADDRESS['swarm']}")
        self.node.ip(f"route add local {FIRST}/15 dev lo")
        key = lab.dir / "swarm.key"
        self.node.run([programs.DETEC, "genkey", key])
        self.process = self.node.start(PROGRAM, key, ZONE, ADDRESS["swarm"], FIRST, count, stdin=subprocess.PIPE)
        self.process.wait_log("ready")
        self.host = programs.Host(self.server, None, f"server.{ZONE}", allow=["*"], **settings)
        self.host.sections["host"]["connector"] = f"{ADDRESS['swarm']}:4500"
        self.host.start(login=False)
        self.host.wait_login()

    def _ask(self, command, timeout):
        """The answer's words: its line begins as the command does, or with `up`."""
        self.process.popen.stdin.write(f"{command}\n".encode())
        self.process.popen.stdin.flush()
        word = {"call": "up"}.get(command.split()[0], command.split()[0])

        def find():
            if not self.process.is_running:
                raise labs.LabError(f"the swarm ended:\n{self.process.log[-2000:]}")
            lines = self.process.log.split("\n")[:-1]
            for i in range(self.taken, len(lines)):
                if lines[i].startswith(f"{word} "):
                    self.taken = i + 1
                    return lines[i].split()[1:]
        return labs.wait_until(find, timeout, lambda: f"{command}: {self.process.log[-2000:]}\n{self.host.process.log[-2000:]}")

    def call(self, count, timeout=600):
        """Seconds until so many tunnels are up, and how many calls had to be repeated."""
        _, seconds, failures = self._ask(f"call {count}", timeout)
        return float(seconds), int(failures)

    def echo(self, timeout=120):
        """A packet through each tunnel: how many were answered."""
        return int(self._ask("echo", timeout)[0])

    def stats(self):
        keepalives, questions, up = map(int, self._ask("stats", 10))
        return {"keepalives": keepalives, "questions": questions, "up": up}

    # ---- what detecd has used ----

    def cpu_seconds(self):
        """Of detecd: (the control thread, all others)."""
        pid = self.host.process.pid
        used = {}
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/stat") as f:
                words = f.read().rsplit(")", 1)[1].split()
            used[int(task)] = (int(words[11]) + int(words[12])) / TICK
        return used.pop(pid), sum(used.values())

    def rss_bytes(self):
        return self.host.memory_kib() * 1024


class Prober:
    """Asks detecd for nothing much, all the time: the longest answer is the longest stall of its control thread."""

    def __init__(self, swarm):
        self.path, self.longest, self.is_over = swarm.host.socket_path, 0.0, False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
            while not self.is_over:
                begin = time.monotonic()
                client.sendall(b'{"command":"nothing"}\n')  # which there is not
                data = b""
                while not data.endswith(b"\n"):
                    more = client.recv(65536)
                    if not more:
                        return
                    data += more
                self.longest = max(self.longest, time.monotonic() - begin)
                time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        self.thread.join()


def timed(function):
    begin = time.monotonic()
    result = function()
    return result, time.monotonic() - begin


def settled(swarm):
    """Until the questions of whoever has just sent something, and hears nothing more, are over."""
    def is_quiet():
        before = swarm.stats()["questions"]
        time.sleep(1)
        return swarm.stats()["questions"] - before <= swarm.count / 10
    labs.wait_until(is_quiet, 60, "the tunnels are idle")


def measure(swarm, count, idle_s):
    """A row: up to `count` tunnels from as many as there are, then idle for a while, then asked about."""
    before_up, before_rss, before_cpu = swarm.stats()["up"], swarm.rss_bytes(), sum(swarm.cpu_seconds())
    with Prober(swarm) as prober:
        seconds, failures = swarm.call(count)
    row = {"tunnels": count, "up_s": seconds, "failures": failures, "up_cpu_ms": (sum(swarm.cpu_seconds()) - before_cpu) * 1000 / (count - before_up),
           "up_stall_ms": prober.longest * 1000}
    row["echoed"], row["echo_s"] = timed(swarm.echo)
    settled(swarm)
    row["bytes"] = (swarm.rss_bytes() - before_rss) // (count - before_up)
    row["rss"] = swarm.rss_bytes()
    control, others = swarm.cpu_seconds()
    stats = swarm.stats()
    time.sleep(idle_s)
    after, after_stats = swarm.cpu_seconds(), swarm.stats()
    with Prober(swarm) as prober:
        time.sleep(min(idle_s, 3))
    row.update(idle_control_ms=(after[0] - control) * 1000 / idle_s, idle_others_ms=(after[1] - others) * 1000 / idle_s,
               idle_stall_ms=prober.longest * 1000, keepalives=(after_stats["keepalives"] - stats["keepalives"]) / idle_s,
               questions=(after_stats["questions"] - stats["questions"]) / idle_s, still_up=after_stats["up"])
    with Prober(swarm) as prober:
        _, row["status_s"] = timed(swarm.host.status)
        peers, row["peers_s"] = timed(swarm.host.peers)
    row["asked_stall_ms"] = prober.longest * 1000
    row["rss_mib"], row["kept"] = row["rss"] / 2**20, row["keepalives"] + row["questions"]
    row["peers"] = sum(peer["state"] == "up" for peer in peers)
    return row


COLUMNS = (("tunnels", "tunnels", "{}"), ("seconds until they were up", "up_s", "{:.1f}"), ("detecd's CPU for each, ms", "up_cpu_ms", "{:.2f}"),
           ("longest stall meanwhile, ms", "up_stall_ms", "{:.0f}"), ("RSS, MiB", "rss_mib", "{:.1f}"), ("bytes of each", "bytes", "{}"),
           ("idle: control thread, ms a second", "idle_control_ms", "{:.1f}"), ("others", "idle_others_ms", "{:.1f}"),
           ("datagrams of IKE and keepalives a second", "kept", "{:.0f}"), ("longest stall, ms", "idle_stall_ms", "{:.0f}"),
           ("detec peers, s", "peers_s", "{:.2f}"), ("longest stall, ms", "asked_stall_ms", "{:.0f}"))


def table(rows, stop_s):
    """Markdown, a column for each row."""
    lines = [f"| {name} | " + " | ".join(text.format(row[field]) for row in rows) + " |" for name, field, text in COLUMNS]
    lines.insert(1, "|---|" + "---|" * len(rows))
    return "\n".join(lines) + f"\n\nAll {rows[-1]['tunnels']} closed and the daemon ended in {stop_s:.1f} s."
