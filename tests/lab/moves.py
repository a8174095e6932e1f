"""How long packets go nowhere while hosts move, measured; and a transfer over TCP that goes on under any number of moves.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── [natb] ── b
                            nata2 ──┘ (its LAN 10.0.3.0/24)    │
                                              connector, resolver
"""
import contextlib
import hashlib
import random
import threading
import time

import lab as labs
import topologies

NAME_A, NAME_B = f"a.{topologies.ZONE}", f"b.{topologies.ZONE}"
EVERY = 0.01   # s between the packets of a Flow
BLOCK = 2000   # bytes of a Transfer at a time
PACE = 0.02    # s between them


class Flow:
    """Datagrams each way between a and b through the tunnel, each with its number; when which one was sent and arrived."""

    def __init__(self, calls):
        self.at_b = calls.node_b.socket(bind=("0.0.0.0", 7001), timeout=0.2)
        self.at_a = calls.node_a.socket(bind=None, timeout=0.2)
        self.at_a.connect((calls.a.peer(NAME_B)["address"], 7001))
        self.is_over = threading.Event()
        self.sent = {"a": [], "b": []}      # by number
        self.arrived = {"a": [], "b": []}   # (number, when): at a, at b
        self.back = None
        self.threads = [threading.Thread(target=job) for job in (self._send, self._hear_a, self._hear_b)]
        for thread in self.threads:
            thread.start()
        labs.wait_until(lambda: self.arrived["a"] and self.arrived["b"], 20, "datagrams both ways")

    def _send(self):
        while not self.is_over.wait(EVERY):
            for side, sock in (("a", self.at_a), ("b", self.at_b)):
                number = len(self.sent[side])
                with contextlib.suppress(OSError):  # no route, for the moment
                    if side == "a":
                        self.sent[side].append(time.monotonic())
                        sock.send(number.to_bytes(4, "big"))
                    elif self.back:
                        self.sent[side].append(time.monotonic())
                        sock.sendto(number.to_bytes(4, "big"), self.back)

    def _hear_a(self):
        while not self.is_over.is_set():
            with contextlib.suppress(OSError):
                self.arrived["a"].append((int.from_bytes(self.at_a.recv(100), "big"), time.monotonic()))

    def _hear_b(self):
        while not self.is_over.is_set():
            with contextlib.suppress(OSError):
                data, self.back = self.at_b.recvfrom(100)
                self.arrived["b"].append((int.from_bytes(data, "big"), time.monotonic()))

    def first_since(self, since):
        """When the first packet that was sent after `since` had arrived, both at a and at b; None: not yet."""
        firsts = []
        for side, other in (("a", "b"), ("b", "a")):
            sent, arrived = self.sent[other], self.arrived[side]
            later = [when for number, when in arrived[-400:] if sent[number] > since]
            if not later:
                return None
            firsts.append(min(later))
        return max(firsts)

    def gap(self, since, timeout=30):
        """Seconds from `since` until packets that were sent later had arrived both ways."""
        return labs.wait_until(lambda: self.first_since(since), timeout, "packets both ways") - since

    def close(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(5)
        self.at_a.close(), self.at_b.close()


class Transfer:
    """One TCP connection through the tunnel, random bytes both ways all the time, with a digest of all that was sent and
    of all that has come at each end."""

    def __init__(self, calls, seed=1):
        listener = calls.node_b.socket(labs.socket.SOCK_STREAM, bind=("0.0.0.0", 7002), timeout=30)
        listener.listen()
        at_a = calls.node_a.socket(labs.socket.SOCK_STREAM, bind=None, timeout=30)
        at_a.connect((calls.a.peer(NAME_B)["address"], 7002))
        at_b, _ = listener.accept()
        listener.close()
        at_b.settimeout(30)
        self.ends = {"a": at_a, "b": at_b}
        self.is_over = threading.Event()
        self.errors = []
        self.sent = {side: hashlib.sha256() for side in self.ends}
        self.got = {side: hashlib.sha256() for side in self.ends}
        self.sent_len, self.got_len = dict.fromkeys(self.ends, 0), dict.fromkeys(self.ends, 0)
        self.threads = [threading.Thread(target=job, args=(side, *more))
                        for side in self.ends for job, *more in ((self._write, random.Random(f"{seed}{side}")), (self._read,))]
        for thread in self.threads:
            thread.start()

    def _write(self, side, rng):
        try:
            while not self.is_over.wait(PACE):
                block = rng.randbytes(BLOCK)
                self.ends[side].sendall(block)
                self.sent[side].update(block)
                self.sent_len[side] += BLOCK
            self.ends[side].shutdown(labs.socket.SHUT_WR)
        except OSError as error:
            self.errors.append(f"{side} writes: {error}")

    def _read(self, side):
        try:
            while got := self.ends[side].recv(65536):
                self.got[side].update(got)
                self.got_len[side] += len(got)
            if not self.is_over.is_set():
                raise OSError("end of the stream")
        except OSError as error:
            self.errors.append(f"{side} reads: {error}")

    def wait_moving(self, timeout=30):
        """Waits until both ends have got something that was not yet sent when this was called."""
        goal = {"a": self.sent_len["b"] + 1, "b": self.sent_len["a"] + 1}
        labs.wait_until(lambda: self.errors or all(self.got_len[side] >= goal[side] for side in goal), timeout, "the transfer moves")
        assert not self.errors, self.errors

    def close(self):
        """Ends it in good order, and returns how many bytes have come; each as it was sent."""
        self.is_over.set()
        for thread in self.threads:
            thread.join(40)
        assert not self.errors and not any(thread.is_alive() for thread in self.threads), self.errors
        for side, other in (("a", "b"), ("b", "a")):
            assert (self.got_len[side], self.got[side].digest()) == (self.sent_len[other], self.sent[other].digest())
            self.ends[side].close()
        return sum(self.got_len.values())


class Roamer:
    """Lets a host go to and fro between the LANs of two NATs. The cables stay plugged in: the kernel takes up to a second
    to believe in one that has just been."""

    def __init__(self, calls, node, nats):
        self.node, self.nats, self.at = node, nats, 0
        self.addresses = [node.address, calls.lab.join(node, nats[1].lan, interface="eth1", ipv6=False)]
        self.spares = [str(nat.lan.network[200]) for nat in nats]  # other addresses there
        node.ip(f"addr del {self.addresses[1]}/24 dev eth1")

    def go(self):
        """One network goes and the other one comes, and with it the way out; returns the new public address."""
        old, new = self.at, 1 - self.at
        self.at = new
        self.node.ip(f"addr del {self.addresses[old]}/24 dev eth{old}", f"addr add {self.addresses[new]}/24 dev eth{new}",
                     f"route replace default via {self.nats[new].lan.gateway} dev eth{new}")
        return self.nats[new].address

    def renumber(self):
        """Another address in the network where it is."""
        at = self.at
        old, self.addresses[at], self.spares[at] = self.addresses[at], self.spares[at], self.addresses[at]
        self.node.ip(f"addr del {old}/24 dev eth{at}", f"addr add {self.addresses[at]}/24 dev eth{at}",
                     f"route replace default via {self.nats[at].lan.gateway} dev eth{at}")

    def stay_in_both(self):
        """Addresses in both networks: from now on only the default route changes."""
        self.node.ip(f"addr add {self.addresses[1 - self.at]}/24 dev eth{1 - self.at}")

    def reroute(self):
        self.at = 1 - self.at
        self.node.ip(f"route replace default via {self.nats[self.at].lan.gateway} dev eth{self.at}")
        return self.nats[self.at].address


def reboot_nat(nat, address=None):
    """The NAT forgets everything, and comes back with another public address if it is given one."""
    if address:
        nat.ip(f"addr del {nat.address}/24 dev wan", f"addr add {address}/24 dev wan", "route replace default via 198.51.100.1")
        nat.address = address
    nat.run("conntrack -F")


def block_between(calls):
    """No UDP gets through the network any more, but to the resolver and connectors: hosts reach each other by no direct path."""
    calls.net.node.nft("table inet block { chain forward { type filter hook forward priority 0; udp dport 32589 drop; udp sport 32589 udp dport != { 53, 4500, 4501 } drop; }; }")


def unblock(calls):
    calls.net.node.nft("delete table inet block")


def move_many(lab, count, seed=1, tell=None):
    """So many moves of every kind, each as soon as the transfer goes on after the one before; returns a report.

    a has two networks, b is behind a NAT that lets in only who was sent to; both may move at once.
    """
    rng = random.Random(seed)
    calls = topologies.Calls(lab, {}, {})
    nats = [lab.nat("nata2", calls.net.west, lan="10.0.3.0/24"), lab.nat("natb2", calls.net.east, lan="10.0.4.0/24")]
    calls.start()
    a, b = Roamer(calls, calls.node_a, (calls.nat_a, nats[0])), Roamer(calls, calls.node_b, (calls.nat_b, nats[1]))
    calls.node_a.run(["ping", "-c1", "-W10", NAME_B])
    calls.a.wait_direct(NAME_B), calls.b.wait_direct(NAME_A)
    transfer = Transfer(calls, seed)
    kinds = {"a: another network": (a.go,), "b: another network": (b.go,), "a: another address": (a.renumber,),
             "b: another address": (b.renumber,), "both at once": (a.go, b.go)}
    took = {kind: [] for kind in kinds}
    begun = time.monotonic()
    for number in range(count):
        kind = rng.choice(list(kinds))
        at = time.monotonic()
        for move in kinds[kind]:
            move()
        try:
            transfer.wait_moving(60)
        except (AssertionError, labs.LabError) as error:
            raise labs.LabError(f"move {number} ({kind}), seed {seed}: {error}\n{calls.a.detec('peers').stdout}{calls.b.detec('peers').stdout}{calls.a.process.log[-4000:]}\n---- b\n"
                                f"{calls.b.process.log[-4000:]}") from error
        took[kind].append(time.monotonic() - at)
        if tell and (number + 1) % 50 == 0:
            tell(f"{number + 1} moves in {time.monotonic() - begun:.0f} s")
    transferred = transfer.close()
    again = sum(host.process.log.count("tunnel up") - 1 for host in (calls.a, calls.b))
    down = sum(host.process.log.count("tunnel down") for host in (calls.a, calls.b))
    return {"moves": count, "seconds": round(time.monotonic() - begun, 1), "bytes": transferred, "tunnels_made_anew": again,
            "tunnels_down": down, "took_s": took}
