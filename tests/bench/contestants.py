"""Who is measured: two nodes, a link between them, and a tunnel over it; no tunnel, the forwarder, and detecd.

    a ── 192.0.2.1 ══ wire, MTU 1500 ══ 192.0.2.2 ── b          (detecd: both on the connector's segment, too)

The wire carries frames of one MTU, and the receiver may aggregate, as with network cards. The programs of others are in
peers.py, what is measured in measures.py.
"""
import contextlib
import os
import pathlib
import shutil
import time

import lab as labs
import programs

OUTER = {"a": "192.0.2.1", "b": "192.0.2.2"}
INNER = {"a": "10.99.0.1", "b": "10.99.0.2"}
# What an inner packet may have so that most tunnels' outer ones fit 1500, and one datagram of 1400 fits in it.
INNER_MTU = 1428


class NotInstalled(Exception):
    """A contestant's program is missing on this machine."""


class Contestant:
    """Made in a lab; then .a and .b are the nodes, .address is b's as a reaches it, .processes are the tunnel's programs,
    and .first_reply is what the first exchange took, in seconds.

    Subclasses say in prepare() and connect() how the tunnel comes up. The clock of the first reply runs from connect() on.
    """

    name = None
    group = "peer"  # ceiling | detecd | peer
    encrypts = True
    needs = ()  # programs, as found in PATH or absolute
    package = None  # that has them
    address = INNER["b"]

    def __init__(self, lab):
        self.require()
        self.lab, self.processes = lab, []
        self.dir = lab.dir / "tunnel"
        self.dir.mkdir(mode=0o700)
        self.a, self.b = self.make_nodes()
        self.nodes = {"a": self.a, "b": self.b}
        programs.Echo(self.b)
        self.prepare()
        self.first_reply = self.time_first_reply()

    @classmethod
    def require(cls):
        missing = [program for program in cls.needs if not find(program)]
        if missing:
            raise NotInstalled(f"{', '.join(missing)} not installed" + (f" (package {cls.package})" if cls.package else ""))

    def make_nodes(self):
        a, b = labs.Node(self.lab, "a"), labs.Node(self.lab, "b")
        join(self.lab, a, b)
        return a, b

    def prepare(self):
        """Everything that waits for a first packet, or for the other side."""

    def connect(self):
        """What the calling side does itself, if anything."""

    def time_first_reply(self):
        begin = time.monotonic()
        self.connect()
        self.wait_reply()
        return time.monotonic() - begin

    def start(self, side, *args, env=None):
        """A program of the tunnel in one node, with a /run and /var/lock of its own: sockets and pid files stand at fixed places."""
        process = self.nodes[side].start("unshare", "-m", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs tmpfs /run && "
                                         'mkdir /run/lock && exec "$@"', "sh", *args, name=pathlib.Path(str(args[0])).name, env=env)
        self.processes.append(process)
        return process

    def wait_interface(self, process, interface, timeout=10):
        """Until the program's node has that interface; asked often, as the clock runs."""
        def missing():
            return f"{process.name} makes no {interface}:\n{process.log[-3000:]}"

        def is_there():
            if not process.is_running:
                raise labs.LabError(missing())
            return f" {interface}:" in pathlib.Path(f"/proc/{process.pid}/net/dev").read_text()
        labs.wait_until(is_there, timeout, missing, every=0.002)

    def set_up(self, side, interface, process, mtu=INNER_MTU):
        """Gives the tunnel's interface its address, once it is there."""
        self.wait_interface(process, interface)
        self.nodes[side].ip(f"link set dev {interface} mtu {mtu} up", f"addr replace {INNER[side]}/24 dev {interface}")

    def wait_reply(self, timeout=20):
        """Sends a datagram each 10 ms until one comes back."""
        def is_answered():
            with contextlib.suppress(OSError):  # nothing within 10 ms, or no route yet
                sock.sendto(b"first", (self.address, 7))
                return sock.recv(100)
        with contextlib.closing(self.a.socket(bind=None, timeout=0.01)) as sock:
            labs.wait_until(is_answered, timeout, lambda: f"{self.name}: a reply\n" + "\n".join(p.log[-2000:] for p in self.processes),
                            every=0.002)


def find(program):
    return shutil.which(str(program), path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def join(lab, a, b):
    """The link that is measured over."""
    lab.wire(a, "wire0", b, "wire0")
    for node, side in ((a, "a"), (b, "b")):
        node.ip(f"addr add {OUTER[side]}/24 dev wire0")
        node.run("ethtool -K wire0 tso off tx-udp-segmentation off gro on")


class NoTunnel(Contestant):
    name, group, encrypts, address = "no tunnel", "ceiling", False, OUTER["b"]


class Forwarder(Contestant):
    """tests/bench/forwarder.c: what the kernel's interfaces allow."""

    name, group, encrypts = "forwarder", "ceiling", False
    mode = ()

    def prepare(self):
        self.launch("b")

    def connect(self):
        self.launch("a")

    def launch(self, side):
        other = OUTER["a" if side == "b" else "b"]
        process = self.start(side, labs.BUILD / "tests/bench/forwarder", "fwd0", "7000", f"{other}:7000", *self.mode)
        self.set_up(side, "fwd0", process, 1472)


class PlainForwarder(Forwarder):
    name, mode = "forwarder, packet by packet", ("plain",)


class Detecd(Contestant):
    """Two hosts that call each other by name; suite and settings are the subclasses' (see detecd())."""

    group = "detecd"
    suite, settings = None, {}

    def make_nodes(self):
        import topologies
        self.calls = topologies.Calls(self.lab, nat_a="none", nat_b="none")
        for host in (self.calls.a, self.calls.b):
            host.sections["host"].update({"suites": self.suite, **self.settings})
        join(self.lab, self.calls.node_a, self.calls.node_b)
        return self.calls.node_a, self.calls.node_b

    def prepare(self):
        self.calls.start()
        self.processes = [self.calls.a.process, self.calls.b.process]
        # A call that begins before a host knows its NAT takes the relay first: that is no part of what is measured.
        for host in (self.calls.a, self.calls.b):
            labs.wait_until(lambda: host.status()["nat"]["public"] and not host.status()["nat"].get("is_learning"), 5, "the NAT is known")

    def time_first_reply(self):
        """The first datagram goes by name: look-up, call and tunnel are in the time to its reply."""
        took = programs.first_reply(self.a, self.calls.b.name)["total"]
        labs.wait_until(lambda: f"{OUTER['b']}:" in self.report()["path"], 10,
                        lambda: f"the tunnel is on the link: {self.report()}\n{self.calls.a.process.log}")
        self.address = self.report()["address"]
        return took

    def report(self):
        return self.calls.a.peer(self.calls.b.name)


def detecd(suite, label=None, **settings):
    return type("Detecd", (Detecd,), {"name": label or f"detecd {suite}", "suite": suite, "settings": settings})


SUITES = ("aes128-gcm", "aes256-gcm", "chacha20-poly1305", "paper", "esp-aes128-gcm-iiv", "esp-aes128-ctr-sha256")
OURS = [NoTunnel, Forwarder, PlainForwarder, *(detecd(suite) for suite in SUITES),
        detecd(SUITES[0], "detecd aes128-gcm, no offloads", **{"tun-offload": "no", "udp-offload": "no"})]
