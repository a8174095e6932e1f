"""Goodput over slow lines: what one TCP transfer gets through a tunnel, of what the line carries.

    a ── 192.0.2.0/25 ── router ── 192.0.2.128/25 ── b          the router's queues are token buckets of the line's rate

Lines this slow leave the processor idle, so all contestants are measured at once, each in a lab of its own.
"""
import concurrent.futures
import contextlib
import socket
import struct
import threading
import time

import contestants
import lab as labs
import programs
from contestants import Contestant, NotInstalled

# bit/s: seconds that a transfer lasts
RATES = {128_000: 10, 512_000: 5, 1_500_000: 4, 10_000_000: 3, 20_000_000: 3}
FRAME_HEADER = 14  # Ethernet's, which the token bucket counts
# The window is kept below the queue, so that nothing is lost: with losses, what recvmsg() hands over says little of when it came.
WINDOW, QUEUE = 64 * 1024, 256 * 1024
WARM_SHARE = 0.15  # of a transfer, which is not counted: slow start, and the bucket's first burst
SUITES = ("aes128-gcm", "aes256-gcm", "chacha20-poly1305", "paper", "esp-aes128-gcm-iiv", "esp-aes128-gcm", "esp-aes128-cbc-sha256")


class Line:
    """Mixed into a contestant: the wire leads through a router."""

    def lay(self, a, b):
        self.router = labs.Node(self.lab, "router", is_quiet=True)
        self.router.sysctl("net.ipv4.ip_forward=1")
        self.outer = {}
        for node, side, network in ((a, "a", "192.0.2.0"), (b, "b", "192.0.2.128")):
            base = 0 if side == "a" else 128
            self.lab.wire(node, "wire0", self.router, f"line{side}", offloads=False)
            self.router.ip(f"addr add 192.0.2.{base + 1}/25 dev line{side}")
            node.ip(f"addr add 192.0.2.{base + 2}/25 dev wire0",
                    f"route add 192.0.2.{128 - base}/25 via 192.0.2.{base + 1} dev wire0")
            self.outer[side] = f"192.0.2.{base + 2}"

    def set_rate(self, rate):
        for side in "ab":
            self.router.run(["tc", "qdisc", "replace", "dev", f"line{side}", "root", "tbf", "rate", str(rate), "burst",
                             str(max(3200, rate // 8 // 200)), "limit", str(QUEUE)])


class Bare(Line, Contestant):
    name, group = contestants.NoTunnel.name, "ceiling"

    def make_nodes(self):
        a, b = labs.Node(self.lab, "a"), labs.Node(self.lab, "b")
        self.lay(a, b)
        self.address = self.outer["b"]
        return a, b

    def frame(self, mss):
        return FRAME_HEADER + 20 + 20 + 12 + mss


class Tunnel(Line, contestants.Detecd):
    """The hosts' way to each other is the line alone; to connector and resolver they have their own."""

    def make_nodes(self):
        import topologies
        self.calls = topologies.Calls(self.lab, nat_a="none", nat_b="none", a={"suites": self.suite}, b={"suites": self.suite})
        pair = f"{{ {self.calls.node_a.address}, {self.calls.node_b.address} }}"
        self.calls.net.node.nft(f"table inet line {{ chain forward {{ type filter hook forward priority 0; meta nfproto ipv6 drop; "
                                f"ip saddr {pair} ip daddr {pair} drop; }}; }}")
        self.lay(self.calls.node_a, self.calls.node_b)
        return self.calls.node_a, self.calls.node_b

    def time_first_reply(self):
        took = programs.first_reply(self.a, self.calls.b.name)["total"]
        labs.wait_until(lambda: f"{self.outer['b']}:" in self.report()["path"], 15,
                        lambda: f"the tunnel is on the line: {self.report()}\n{self.calls.a.process.log}")
        self.address = self.report()["address"]
        return took

    def frame(self, mss):
        """What one full segment is on the wire: its IP header is the outer packet's (docs/protocol.md)."""
        text = 20 + 12 + mss
        if not self.suite.startswith("esp-"):
            return FRAME_HEADER + 20 + 8 + 8 + text + (32 if self.suite == "paper" else 16)
        iv = 0 if self.suite.endswith("iiv") else 16 if "-cbc-" in self.suite else 8
        alignment = 16 if "-cbc-" in self.suite else 4
        return FRAME_HEADER + 20 + 8 + 8 + iv + (text + 2 + alignment - 1) // alignment * alignment + 16


def tunnel(suite):
    return type("SlowTunnel", (Tunnel,), {"name": f"detecd {suite}", "suite": suite})


CONTESTANTS = [Bare, *(tunnel(suite) for suite in SUITES)]


def transfer(contestant, rate, seconds, port):
    """Goodput in bit/s of what arrived between the first sixth and the end, and the segment size that the sender used."""
    total = int(rate / 8 * seconds * 0.9)
    with contextlib.closing(contestant.b.socket(socket.SOCK_STREAM, bind=("0.0.0.0", port))) as listener, \
            contextlib.closing(contestant.a.socket(socket.SOCK_STREAM, bind=None, timeout=seconds + 20)) as sender:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW // 2)  # the kernel doubles it
        listener.listen()
        sender.connect((contestant.address, port))
        receiver = listener.accept()[0]
        receiver.settimeout(seconds + 20)
        sizes = []

        def send():
            sender.sendall(bytes(total))
            sizes.append(struct.unpack_from("=I", sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64), 16)[0])  # tcpi_snd_mss
            sender.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        with contextlib.closing(receiver):
            arrivals, got = [], 0
            while part := receiver.recv(65536):
                got += len(part)
                arrivals.append((time.monotonic(), got))
        thread.join()
    if got != total or not sizes:
        raise labs.LabError(f"{contestant.name}: {got} of {total} bytes arrived")
    first = next(index for index, (_, count) in enumerate(arrivals) if count >= WARM_SHARE * total)
    (begin, before), (end, _) = arrivals[first], arrivals[-1]
    return (total - before) * 8 / (end - begin), sizes[0]


def measure(kind, rates, settled=threading.Event()):
    """{rate: {"goodput", "efficiency", "mss"}} of one contestant. efficiency: payload of a full frame."""
    result = {}
    with labs.Lab() as lab:
        contestant = kind(lab)
        if isinstance(contestant, Tunnel):
            transfer(contestant, 100_000_000, 0.05, 5000)  # the first bulk begins the search for the path's MTU
            labs.wait_until(lambda: contestant.report()["mtu_state"] == "complete", 20, "the path's MTU is found")
        for number, (rate, seconds) in enumerate(rates.items()):
            contestant.set_rate(rate)
            goodput, mss = transfer(contestant, rate, seconds, 5001 + number)
            # tcpi_snd_mss is without options: twelve bytes of time stamps are in every segment here.
            result[str(rate)] = {"goodput": goodput, "mss": mss, "efficiency": mss / contestant.frame(mss)}
    return result


def run(note, chosen=None, rates=None):
    """All contestants side by side: {"rates": […], "rows": {name: …}}."""
    rates = rates or RATES
    kinds = [kind for kind in CONTESTANTS if chosen is None or chosen(kind.name)]
    rows = {}
    with concurrent.futures.ThreadPoolExecutor(len(kinds)) as pool:
        tasks = {kind.name: pool.submit(measure, kind, rates) for kind in kinds}
        for name, task in tasks.items():
            try:
                rows[name] = task.result()
            except (labs.LabError, NotInstalled, OSError) as e:
                note(f"slow lines, {name}: {str(e).splitlines()[0]}")
    return {"rates": list(rates), "rows": rows}
