"""Networks for the tests, made of network namespaces: hosts, LANs, NATs, bad links, and the 'internet' between them.

    with Lab() as lab:
        net = lab.internet()                       # two public segments with a router between them
        nat = lab.nat("nata", net.west)            # a home router; nat.lan is the segment behind it
        a = lab.host("a", nat.lan)
        a.run("ping -c1 198.51.100.1")

Every namespace is named detec-PID-START-NAME after the process that made it, so that runs do not disturb each other and
what a crashed run left can be told apart and removed. Nothing here touches the machine's own network. Programs and
captures are in programs.py and capture.py.
"""
import ctypes
import ipaddress
import itertools
import json
import os
import pathlib
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DETEC_BUILD", ROOT / "build"))
EMULATOR = BUILD / "tests/lab/lab_emulator"
PREFIX = "detec"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """Something of the lab itself failed, or a condition did not come true in time."""


PATIENCE = 2  # a timeout says how long something takes at most on a machine with nothing else to do; they seldom are that


def wait_until(condition, timeout=10, what=None, every=0.02):
    """Calls condition until it returns something true, and returns that. The one place where tests wait.

    every: s between the calls.
    """
    timeout *= PATIENCE
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            text = what() if callable(what) else what or getattr(condition, "__name__", condition)
            raise LabError(f"not within {timeout} s: {text}")
        pause.wait(every)


def command(*args, text=None, check=True, timeout=60):
    """Runs a command to its end; the words of its failure are in the exception."""
    done = subprocess.run(args, input=text, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise LabError(f"{shlex.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}{text or ''}")
    return done


def _start_time(pid):
    """When a process started, in ticks since boot: with its pid, a name that is never used twice. None: it is gone."""
    try:
        words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if words[0] == "Z" else words[19]


def _namespaces():
    try:
        return os.listdir("/run/netns")
    except FileNotFoundError:
        return []


def _remove_namespace(name):
    """Ends whatever still runs in a namespace of the lab, then removes it."""
    pids = command("ip", "netns", "pids", name, check=False).stdout.split()
    for pid in pids:
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    command("ip", "netns", "del", name, check=False)
    shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)


def owner_of(name):
    """(pid, start) of the process that a namespace or directory of the lab is named after; None: not of the lab."""
    parts = name.split("-")
    if len(parts) >= 4 and parts[0] == PREFIX and parts[1].isdigit() and parts[2].isdigit():
        return parts[1], parts[2]
    return None


def is_stale(name):
    owner = owner_of(name)
    return owner is not None and _start_time(owner[0]) != owner[1]


def remove_stale():
    """Removes what runs left whose process is gone."""
    names = set(_namespaces())
    names.update(os.listdir("/etc/netns") if os.path.isdir("/etc/netns") else ())
    for name in filter(is_stale, names):
        _remove_namespace(name)
    for name in filter(is_stale, os.listdir(tempfile.gettempdir())):
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


class Process:
    """A program that runs in a node, its output in a file, ended with the lab."""

    def __init__(self, node, args, name=None, env=None, stdin=None, cwd=None):
        self.node, self.args = node, [str(a) for a in args]
        self.name = name or os.path.basename(self.args[0])
        self.log_path = node.lab.dir / f"{node.name}-{self.name}-{node.lab.next_number()}.log"
        with open(self.log_path, "wb") as log:
            self.popen = subprocess.Popen(["ip", "netns", "exec", node.namespace, *self.args], stdin=stdin or subprocess.DEVNULL,
                                          stdout=log, stderr=log, env={**os.environ, **(env or {})}, cwd=cwd,
                                          start_new_session=True)
        self.pid = self.popen.pid
        node.lab.processes.append(self)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def is_running(self):
        return self.popen.poll() is None

    def wait_log(self, text, timeout=10):
        """Waits until the program has written something; its end before that is a failure."""
        def seen():
            if text in self.log:
                return True
            if not self.is_running:
                raise LabError(f"{self.name} ended ({self.popen.returncode}) before it wrote '{text}':\n{self.log}")
        return wait_until(seen, timeout, lambda: f"{self.name} writes '{text}'\n{self.log}")

    def send_signal(self, number):
        if self.is_running:
            os.kill(self.pid, number)

    def stop(self, number=signal.SIGTERM, timeout=10):
        """Ends the program and returns its exit status (negative: the signal that ended it)."""
        self.send_signal(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise LabError(f"{self.name} did not end within {timeout} s of signal {number}\n{self.log}") from None

    def kill(self):
        if self.is_running:
            self.popen.kill()
        return self.popen.wait()


class Node:
    """One namespace: a host, a router, a NAT."""

    def __init__(self, lab, name, is_quiet=False):
        self.lab, self.name = lab, name
        self.namespace = f"{lab.prefix}-{name}"
        self.interfaces = {}
        self.address = self.address6 = None
        self.etc = pathlib.Path("/etc/netns") / self.namespace
        self.etc.mkdir(parents=True)
        # Files are written in place for ever: what a running program sees is a bind mount of this very file.
        self.write_etc("resolv.conf", "")
        self.write_etc("hosts", "127.0.0.1 localhost\n::1 localhost\n")
        if os.path.exists("/etc/nsswitch.conf"):
            self.write_etc("nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n")
        command("ip", "netns", "add", self.namespace)
        lab.nodes.append(self)
        settings = ["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                    "net.ipv6.conf.default.accept_ra=0"]
        if is_quiet:  # nothing of the kernel's own may appear on the wire
            settings = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"]
        self.sysctl(*settings)
        self.ip("link set lo up")

    def __repr__(self):
        return f"<{self.name}>"

    def write_etc(self, name, text):
        with open(self.etc / name, "w") as f:
            f.write(text)

    def use_resolver(self, *addresses, options=""):
        """Which DNS servers the programs of this node ask; `options` as in resolv.conf(5)."""
        lines = [f"nameserver {a}\n" for a in addresses]
        self.write_etc("resolv.conf", "".join(lines) + (f"options {options}\n" if options else ""))

    def command_line(self, args):
        args = shlex.split(args) if isinstance(args, str) else [str(a) for a in args]
        return ["ip", "netns", "exec", self.namespace, *args]

    def run(self, args, check=True, timeout=60, text=None, env=None):
        """Runs a command to its end in this node."""
        line = self.command_line(args)
        done = subprocess.run(line, capture_output=True, text=True, timeout=timeout, input=text, env={**os.environ, **(env or {})})
        if check and done.returncode:
            raise LabError(f"{self.name}: {shlex.join(line[4:])}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, *args, **options):
        return Process(self, args, **options)

    def ip(self, *lines):
        """Commands of ip(8), e.g. node.ip("addr add 10.0.0.1/24 dev eth0")."""
        command("ip", "-n", self.namespace, "-batch", "-", text="\n".join(lines) + "\n")

    def nft(self, rules):
        self.run(["nft", "-f", "-"], text=rules)

    def sysctl(self, *settings):
        self.run(["sysctl", "-qw", *settings])

    def route_to(self, address):
        """What the kernel would do with a packet to this address, or its error as text."""
        done = command("ip", "-n", self.namespace, "route", "get", address, check=False)
        return (done.stdout + done.stderr).strip()

    def socket(self, kind=socket.SOCK_DGRAM, bind=("0.0.0.0", 0), family=socket.AF_INET, protocol=0, timeout=5):
        """A socket of the test's own in this node's namespace."""
        with in_namespace(self.namespace):
            sock = socket.socket(family, kind, protocol)
        sock.settimeout(timeout)
        if bind:
            sock.bind(bind)
        return sock

    def processes_inside(self):
        return [int(p) for p in command("ip", "netns", "pids", self.namespace).stdout.split()]


class in_namespace:
    """The calling thread's network namespace for a `with` block. Sockets made inside stay in it."""

    def __init__(self, name):
        self.path = f"/run/netns/{name}"

    def __enter__(self):
        self.old = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._enter(self.path)

    def __exit__(self, *_):
        self._enter(f"/proc/self/fd/{self.old}")
        os.close(self.old)

    @staticmethod
    def _enter(path):
        fd = os.open(path, os.O_RDONLY)
        try:
            if _libc.setns(fd, CLONE_NEWNET):
                raise LabError(f"setns {path}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(fd)


class Segment:
    """A bridge in a node, with the node's own address on it as the others' gateway."""

    def __init__(self, node, bridge, network, network6=None):
        self.node, self.bridge = node, bridge
        self.network = ipaddress.ip_network(network)
        self.network6 = ipaddress.ip_network(network6) if network6 else None
        self.gateway = self.network[1]
        self.gateway6 = self.network6[1] if self.network6 else None
        self._next = 10
        # A bridge without an address of its own takes its lowest port's, so each new node could change the gateway's.
        mac = "02:" + os.urandom(5).hex(":")
        lines = [f"link add {bridge} address {mac} type bridge forward_delay 0 mcast_snooping 0", f"link set dev {bridge} up",
                 f"addr add {self.gateway}/{self.network.prefixlen} dev {bridge}"]
        if self.network6:
            lines.append(f"addr add {self.gateway6}/{self.network6.prefixlen} dev {bridge} nodad")
        node.ip(*lines)
        node.interfaces[bridge] = self

    def next_host(self):
        self._next += 1
        return self._next - 1


class Internet:
    """A router with two public segments. Two nodes on one segment are neighbours; west and east have a router between."""

    def __init__(self, lab):
        self.node = Node(lab, "net")
        self.node.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.west = Segment(self.node, "west", "198.51.100.0/24", "2001:db8:1::/64")
        self.east = Segment(self.node, "east", "203.0.113.0/24", "2001:db8:2::/64")


class Emulator:
    """A running lab_emulator in a node of its own."""

    def __init__(self, node, args):
        self.process = node.start(EMULATOR, *args, stdin=subprocess.PIPE)
        self.process.wait_log("ready")
        self._answered = 1

    def command(self, line):
        self.process.popen.stdin.write(f"{line}\n".encode())
        self.process.popen.stdin.flush()
        def answer():
            if not self.process.is_running:
                raise LabError(f"the emulator ended:\n{self.process.log}")
            lines = self.process.log.split("\n")
            return lines[self._answered] if len(lines) > self._answered + 1 else None
        text = wait_until(answer, 5, f"answer to '{line}'")
        self._answered += 1
        return json.loads(text)

    def stats(self):
        return self.command("stats")


def link_settings(quality):
    """The emulator's spelling of e.g. {"delay": 20, "loss": 0.01}."""
    return "".join(f",{key.replace('_', '-')}={value}" for key, value in (quality or {}).items())


class Lab:
    """Makes nodes, and unmakes everything at its end.

    owner: the pid of the process that it lives and dies with, if not this one: what is left after that is removed.
    """

    def __init__(self, owner=None):
        remove_stale()
        self._number = 0
        self.nodes, self.processes, self.emulators = [], [], {}
        owner = owner or os.getpid()
        self.prefix = f"{PREFIX}-{owner}-{_start_time(owner)}-{next(_labs)}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self.dir.chmod(0o755)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def next_number(self):
        self._number += 1
        return self._number

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            if process.popen.stdin:
                process.popen.stdin.close()
        for node in self.nodes:
            _remove_namespace(node.namespace)
        self.nodes, self.processes = [], []
        shutil.rmtree(self.dir, ignore_errors=True)

    def logs(self, lines=60):
        """The last lines of every program's output: what one wants to see after a failure."""
        return "\n".join(f"--- {p.node.name}: {shlex.join(p.args)}\n" + "\n".join(p.log.splitlines()[-lines:])
                         for p in self.processes if p.log)

    # ---- wires ----

    def wire(self, node, interface, other, other_interface, offloads=True):
        """A cable between two nodes."""
        command("ip", "link", "add", interface, "netns", node.namespace, "type", "veth",
                "peer", "name", other_interface, "netns", other.namespace)
        for n, i in ((node, interface), (other, other_interface)):
            n.ip(f"link set dev {i} up")
            if not offloads:
                n.run(f"ethtool -K {i} tx off rx off gso off tso off gro off")

    def attach(self, node, interface, segment, quality=None, seed=1):
        """Plugs a node into a segment; with a quality ({"delay": ms one way, "loss": …}) through a bad link.

        `quality` may be a pair: (towards the segment, towards the node).
        """
        number = self.next_number()
        port = f"port{number}"
        if quality is None:
            self.wire(node, interface, segment.node, port)
        else:
            up, down = quality if isinstance(quality, tuple) else (quality, quality)
            box = Node(self, f"link{number}", is_quiet=True)
            self.wire(node, interface, box, "up", offloads=False)
            self.wire(segment.node, port, box, "down", offloads=False)
            self.emulators[node.name] = Emulator(
                box, ["bridge", "--seed", seed, f"up{link_settings(up)}", f"down{link_settings(down)}"])
        segment.node.ip(f"link set dev {port} master {segment.bridge}")
        node.interfaces[interface] = segment
        return port

    # ---- nodes ----

    def internet(self):
        return Internet(self)

    def host(self, name, segment, address=None, quality=None, interface="eth0", ipv6=True, seed=1):
        """A host with one interface, by default with the segment's next free address."""
        node = Node(self, name)
        self.join(node, segment, address, quality, interface, ipv6, seed)
        return node

    def join(self, node, segment, address=None, quality=None, interface="eth0", ipv6=True, seed=1):
        """Gives a node an interface on a segment, and its default route there if it has none."""
        is_first = node.address is None
        self.attach(node, interface, segment, quality, seed)
        number = segment.next_host()
        address = ipaddress.ip_address(address) if address else segment.network[number]
        lines = [f"addr add {address}/{segment.network.prefixlen} dev {interface}"]
        if is_first:
            node.address = str(address)
            lines.append(f"route add default via {segment.gateway}")
        if segment.network6 and ipv6:
            address6 = segment.network6[int(address) & 0xff]
            lines.append(f"-6 addr add {address6}/{segment.network6.prefixlen} dev {interface} nodad")
            if is_first:
                node.address6 = str(address6)
                lines.append(f"-6 route add default via {segment.gateway6}")
        node.ip(*[line for line in lines if not line.startswith("-6")])
        v6 = [line[3:] for line in lines if line.startswith("-6")]
        if v6:
            command("ip", "-6", "-n", node.namespace, "-batch", "-", text="\n".join(v6) + "\n")
        # As a network card: datagrams leave one by one, however many the program hands over at once.
        node.run(f"ethtool -K {interface} tx-udp-segmentation off")
        return str(address)

    def nat(self, name, outside, kind="port-restricted", unsolicited="drop", lan="10.0.1.0/24", address=None,
            inside=None, quality=None, udp_timeout=None, seed=1):
        """A home router with the kernel's own NAT; node.lan is the segment behind it.

        kind: port-restricted | symmetric | full-cone | address-restricted (the last two for one inner host, `inside`)
        unsolicited: what its INPUT does with strangers' packets: drop | reject | accept (a router without any filter)
        """
        node = Node(self, name)
        self.join(node, outside, address, quality, "wan", ipv6=False, seed=seed)
        node.lan = Segment(node, "lan", lan)
        node.sysctl("net.ipv4.ip_forward=1")
        if udp_timeout:
            node.sysctl(f"net.netfilter.nf_conntrack_udp_timeout={udp_timeout}",
                        f"net.netfilter.nf_conntrack_udp_timeout_stream={udp_timeout}")
        inside = inside or str(node.lan.network[10])
        node.nft(nat_rules(kind, unsolicited, inside))
        return node

    def emulated_nat(self, name, outside, lan="10.0.1.0/24", address=None, quality=None, lan_quality=None,
                     mapping="ei", filtering="apd", ports="preserve", hairpin=False, lifetime=120000,
                     inbound_refreshes=True, unsolicited="drop", publics=(), pooling="paired", step=1, traffic=0, seed=1):
        """A NAT of a kind that the kernel lacks (see emulator.c); node.lan is the segment behind it, node.box the emulator.

        step, traffic: of sequential ports, and how many a second other hosts take. pooling: paired | arbitrary, which of
        several public addresses a mapping gets.
        """
        node = Node(self, name, is_quiet=True)
        network = ipaddress.ip_network(lan)
        switch = Node(self, f"{name}lan", is_quiet=True)
        node.lan = Segment(switch, "lan", network)
        switch.ip("addr flush dev lan")  # a switch only: the gateway's address is the emulator's
        self.wire(node, "lan", switch, "uplink", offloads=False)
        switch.ip("link set dev uplink master lan")
        port = f"port{self.next_number()}"
        self.wire(node, "wan", outside.node, port, offloads=False)
        outside.node.ip(f"link set dev {port} master {outside.bridge}")
        node.address = address or str(outside.network[outside.next_host()])
        args = ["nat", "--seed", seed, "--lan", f"lan={network[1]}/{network.prefixlen}{link_settings(lan_quality)}",
                "--wan", f"wan={node.address}/{outside.network.prefixlen}{link_settings(quality)}",
                "--gateway", outside.gateway, "--mapping", mapping, "--filtering", filtering, "--ports", ports,
                "--lifetime", lifetime, "--step", step, "--traffic", traffic]
        args += [word for public in publics for word in ("--public", public)]
        args += ["--hairpin"] if hairpin else []
        args += ["--arbitrary"] if pooling == "arbitrary" else []
        args += ["--reject"] if unsolicited == "reject" else []
        args += [] if inbound_refreshes else ["--outbound-refresh-only"]
        node.box = Emulator(node, args)
        return node


_labs = itertools.count(1)

_MASQUERADE = {"port-restricted": "masquerade", "full-cone": "masquerade", "address-restricted": "masquerade",
               "symmetric": "masquerade fully-random"}


def nat_rules(kind, unsolicited, inside):
    """The nftables rules of one kind of NAT (RFC 4787's words in the comments of the tests)."""
    to_inside = f'iifname "wan" meta l4proto udp dnat ip to {inside}' if kind in ("full-cone", "address-restricted") else ""
    forward = ""
    if kind == "address-restricted":
        forward = 'iifname "lan" add @contacted { ip daddr }\niifname "wan" ip saddr != @contacted drop'
    if kind == "port-restricted" or kind == "symmetric":
        forward = 'iifname "wan" ct state != { established, related } drop'
    verdict = {"drop": "drop", "reject": "reject", "accept": "accept"}[unsolicited]
    return f"""
table ip nat {{
    set contacted {{ type ipv4_addr; flags dynamic; size 1024; }}
    chain postrouting {{ type nat hook postrouting priority srcnat; oifname "wan" {_MASQUERADE[kind]}; }}
    chain prerouting {{ type nat hook prerouting priority dstnat; {to_inside}
    }}
    chain forward {{ type filter hook forward priority filter; {forward}
    }}
    chain input {{ type filter hook input priority filter
        iifname "wan" ct state != {{ established, related }} meta l4proto != icmp {verdict}
    }}
}}
"""
