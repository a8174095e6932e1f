"""The lab itself: what its links and NATs do is what their names say.

    a ── LAN ── nata ── west ─┐
                              net (router)
    b ── LAN ── natb ── east ─┘          p, q: public hosts on east
"""
import os
import subprocess
import sys
import time

import pytest

import capture
import lab as labs

PORT = 32589
KINDS = ("port-restricted", "symmetric", "full-cone", "address-restricted")


def exchange(sender, to, receiver, data=b"x"):
    """Sends a datagram and says what arrived and from where; None when nothing did."""
    sender.sendto(data, to)
    return receive(receiver)


def receive(sock, timeout=0.25):
    sock.settimeout(timeout)
    try:
        return sock.recvfrom(65535)
    except TimeoutError:
        return None


class Outside:
    """A host behind a NAT, and two public hosts with two ports each that it talks to."""

    def __init__(self, lab, make):
        net = lab.internet()
        self.nat = make(lab, net.west)
        self.host = lab.host("a", self.nat.lan)
        self.p, self.q = lab.host("p", net.east), lab.host("q", net.east)
        self.inner = self.host.socket(bind=("0.0.0.0", PORT))
        self.sockets = [node.socket(bind=(node.address, port)) for node in (self.p, self.q) for port in (4000, 4001)]

    def seen(self, sock):
        """The public address and port under which the inner socket appears at one of the outer ones."""
        received = exchange(self.inner, sock.getsockname(), sock)
        assert received, "the NAT let nothing out"
        return received[1]

    def gets_in(self, sock, to):
        return exchange(sock, to, self.inner, os.urandom(8)) is not None


def kernel(kind):
    return lambda lab, outside: lab.nat("nat", outside, kind)


def emulated(**options):
    return lambda lab, outside: lab.emulated_nat("nat", outside, **options)


@pytest.mark.parametrize("make, same_mapping, filters", [
    (kernel("port-restricted"), True, "apd"),
    (kernel("symmetric"), False, "apd"),
    (kernel("full-cone"), True, "ei"),
    (kernel("address-restricted"), True, "ad"),
    (emulated(mapping="ei", filtering="ei"), True, "ei"),
    (emulated(mapping="ei", filtering="ad"), True, "ad"),
    (emulated(mapping="ei", filtering="apd"), True, "apd"),
    (emulated(mapping="apd", filtering="apd", ports="random"), False, "apd"),
    (emulated(mapping="apd", filtering="apd", ports="sequential"), False, "apd"),
], ids=["kernel-port-restricted", "kernel-symmetric", "kernel-full-cone", "kernel-address-restricted", "ei-ei", "ei-ad", "ei-apd",
        "apd-apd-random", "apd-apd-sequential"])
def test_nat_kind(lab, make, same_mapping, filters):
    """RFC 4787's three kinds of mapping and of filtering, seen from outside."""
    o = Outside(lab, make)
    p4000, p4001, q4000, _ = o.sockets
    first = o.seen(p4000)
    assert first[0] == o.nat.address
    assert o.gets_in(p4000, first), "the addressed one's answer"
    assert o.gets_in(p4001, first) == (filters in ("ei", "ad")), "another port of the addressed host"
    assert o.gets_in(q4000, first) == (filters == "ei"), "another host"
    assert (o.seen(p4001) == first) == same_mapping
    assert (o.seen(q4000) == first) == same_mapping


def test_address_dependent_mapping(lab):
    o = Outside(lab, emulated(mapping="ad", filtering="apd", ports="sequential"))
    p4000, p4001, q4000, _ = o.sockets
    assert o.seen(p4000) == o.seen(p4001) == (o.nat.address, 20000)
    assert o.seen(q4000) == (o.nat.address, 20001)


def test_sequential_and_random_ports_follow_the_seed(lab):
    net = lab.internet()
    p = lab.host("p", net.east)
    outer = p.socket(bind=(p.address, 4000))
    seen = []
    for number, seed in enumerate((5, 5, 6)):
        nat = lab.emulated_nat(f"nat{number}", net.west, mapping="apd", ports="random", seed=seed)
        host = lab.host(f"a{number}", nat.lan)
        seen.append(exchange(host.socket(bind=("0.0.0.0", PORT)), outer.getsockname(), outer)[1][1])
    assert seen[0] == seen[1] != seen[2]
    assert all(port >= 1024 for port in seen)


def test_port_collision_of_two_inner_hosts(lab):
    o = Outside(lab, emulated(ports="preserve"))
    other = lab.host("a2", o.nat.lan).socket(bind=("0.0.0.0", PORT))
    assert o.seen(o.sockets[0])[1] == PORT
    assert exchange(other, o.sockets[0].getsockname(), o.sockets[0])[1][1] == PORT + 1


def test_mapping_lifetime_flush_and_new_address(lab):
    o = Outside(lab, emulated(ports="sequential", lifetime=400))
    first = o.seen(o.sockets[0])
    labs.wait_until(lambda: not o.nat.box.stats()["mappings"], 5)
    assert not o.gets_in(o.sockets[0], first)
    second = o.seen(o.sockets[0])
    assert second[1] == first[1] + 1
    o.nat.box.command("flush")
    assert not o.gets_in(o.sockets[0], second)
    o.nat.box.command("address 198.51.100.77")
    assert o.seen(o.sockets[0])[0] == "198.51.100.77"


@pytest.mark.parametrize("refreshes", [True, False])
def test_inbound_refresh(lab, refreshes):
    """Whether packets from outside alone keep a mapping (RFC 4787, REQ-6)."""
    o = Outside(lab, emulated(lifetime=600, inbound_refreshes=refreshes))
    public = o.seen(o.sockets[0])
    for _ in range(5):
        received = o.gets_in(o.sockets[0], public)
        if received:
            labs.wait_until(lambda: receive(o.inner, 0.2) is None, 1)
    assert o.gets_in(o.sockets[0], public) == refreshes


@pytest.mark.parametrize("hairpin", [True, False])
def test_hairpin(lab, hairpin):
    o = Outside(lab, emulated(filtering="ei", hairpin=hairpin))
    other = lab.host("a2", o.nat.lan).socket(bind=("0.0.0.0", 5555))
    public = o.seen(o.sockets[0])
    received = exchange(other, public, o.inner)
    assert (received is not None) == hairpin
    if hairpin:
        assert received[1] == (o.nat.address, 5555), "with the public source (RFC 4787, REQ-9)"


def test_several_public_addresses(lab):
    """A carrier's NAT: an inner host keeps one of them."""
    o = Outside(lab, emulated(publics=["198.51.100.90"], lan="100.64.0.0/24"))
    other = lab.host("a2", o.nat.lan).socket(bind=("0.0.0.0", 5555))
    mine = {o.seen(s)[0] for s in o.sockets}
    its = {exchange(other, s.getsockname(), s)[1][0] for s in o.sockets}
    assert len(mine) == len(its) == 1 and mine | its == {"198.51.100.90", o.nat.address}


def test_a_mapping_gets_any_of_several_public_addresses(lab):
    """Arbitrary pooling (RFC 4787, REQ-2 forbids it, carriers do it): one inner socket, several public addresses."""
    o = Outside(lab, emulated(mapping="apd", publics=["198.51.100.90", "198.51.100.91"], pooling="arbitrary", ports="random"))
    socks = o.sockets + [o.q.socket(bind=(o.q.address, port)) for port in range(4100, 4108)]
    seen = {o.seen(s)[0] for s in socks}
    assert seen == {"198.51.100.90", "198.51.100.91", o.nat.address}


@pytest.mark.parametrize("step, traffic", [(2, 0), (-1, 0), (1, 50)])
def test_sequential_ports_with_a_step_and_other_hosts_traffic(lab, step, traffic):
    o = Outside(lab, emulated(mapping="apd", ports="sequential", step=step, traffic=traffic))
    ports = [o.seen(s)[1] for s in o.sockets]
    steps = [b - a for a, b in zip(ports, ports[1:])]
    if traffic:
        time.sleep(0.2)  # the others' ports are a matter of time
        more = o.seen(o.q.socket(bind=(o.q.address, 4100)))[1]
        assert all(s >= 1 for s in steps) and 10 <= more - ports[-1] <= 60
    else:
        assert steps == [step] * 3


def test_a_mapping_remembers_a_thousand_destinations(lab):
    """What a birthday attempt asks of the easy side's NAT: each of them may answer afterwards."""
    o = Outside(lab, emulated(filtering="apd"))
    public = o.seen(o.sockets[0])
    for port in range(10000, 11000):
        o.inner.sendto(b"x", (o.q.address, port))
    early = o.q.socket(bind=(o.q.address, 10001))
    assert o.gets_in(early, public) and not o.gets_in(o.sockets[3], public)


@pytest.mark.parametrize("make", [kernel("port-restricted"), emulated()], ids=["kernel", "emulated"])
def test_tcp_icmp_and_fragments_through_nat(lab, make):
    """A bulk of TCP in both directions, large UDP datagrams in fragments, ping, and errors about packets under way."""
    o = Outside(lab, make)
    server = o.p.start("iperf3", "-s", "-1", "--forceflush")
    server.wait_log("listening")
    report = o.host.run(f"iperf3 -c {o.p.address} -n 2M --bidir").stdout
    assert "iperf Done" in report
    data = os.urandom(8000)
    received = exchange(o.inner, o.sockets[0].getsockname(), o.sockets[0], data)
    assert received[0] == data
    o.sockets[0].sendto(data[::-1], received[1])
    assert receive(o.inner)[0] == data[::-1]
    o.host.run(f"ping -c2 -i0.2 -W1 {o.p.address}")
    ttl_died = o.host.run(f"ping -c1 -W1 -t2 {o.p.address}", check=False).stdout
    assert "From 198.51.100.1" in ttl_died and "Time to live exceeded" in ttl_died
    connected = o.host.socket(bind=("0.0.0.0", 7777))
    connected.connect((o.p.address, 9))
    connected.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        connected.recv(10)


def test_unsolicited(lab):
    """Strangers' packets to a NAT: dropped, or answered with an ICMP error."""
    net = lab.internet()
    p = lab.host("p", net.east)
    for number, (make, answers) in enumerate((
            (lambda n: lab.nat(n, net.west), False), (lambda n: lab.nat(n, net.west, unsolicited="accept"), True),
            (lambda n: lab.nat(n, net.west, unsolicited="reject"), True), (lambda n: lab.emulated_nat(n, net.west), False),
            (lambda n: lab.emulated_nat(n, net.west, unsolicited="reject"), True))):
        nat = make(f"nat{number}")
        sock = p.socket(bind=(p.address, 0), timeout=0.4)
        sock.connect((nat.address, 32589))
        sock.send(b"x")
        with pytest.raises(ConnectionRefusedError if answers else TimeoutError):
            sock.recv(10)


def numbered(lab, quality, count=1000, seed=7):
    """Sends numbered datagrams over a link of this quality and returns the numbers that arrived."""
    net = lab.internet()
    a, b = lab.host("a", net.west, quality=(quality, {}), seed=seed), lab.host("b", net.west)
    sender, receiver = a.socket(), b.socket(bind=(b.address, 5000))
    receiver.setsockopt(1, 33, 8 << 20)  # SO_RCVBUFFORCE
    a.run(f"ping -c1 -W2 {b.address}", check=False)
    for number in range(count):
        sender.sendto(b"%6d" % number, (b.address, 5000))
    arrived = []
    while (received := receive(receiver)):
        arrived.append(received[0])
    return arrived, lab.emulators["a"].stats()["links"]["up"]


def test_link_loss_is_repeatable(lab):
    first, stats = numbered(lab, {"loss": 0.1})
    assert 850 < len(first) < 950 and stats["lost"] >= 1000 - len(first)
    assert first == sorted(first)
    lab.close()
    with labs.Lab() as again:
        assert numbered(again, {"loss": 0.1})[0] == first
    with labs.Lab() as again:
        assert numbered(again, {"loss": 0.1}, seed=8)[0] != first


def test_link_duplicates_and_reorders(lab):
    arrived, stats = numbered(lab, {"duplicate": 0.05, "reorder": 0.05, "reorder_by": 2})
    assert stats["duplicated"] > 20 and stats["reordered"] > 20
    assert len(arrived) >= 1000 + stats["duplicated"] - 2 and len(set(arrived)) == 1000
    assert arrived != sorted(arrived)


def test_link_corrupts_and_checksums_notice(lab):
    """The receiver's kernel drops what was altered: the emulator leaves checksums alone."""
    arrived, stats = numbered(lab, {"corrupt": 0.2})
    assert stats["corrupted"] > 100
    assert 700 < len(arrived) < 900 and all(a.strip().isdigit() for a in arrived)


def test_link_delay_and_jitter(lab):
    net = lab.internet()
    a = lab.host("a", net.west, quality={"delay": 50})
    b = lab.host("b", net.west, quality={"delay": 5, "jitter": 20})
    text = a.run(f"ping -c12 -i0.2 {b.address}").stdout
    times = [float(line.split("time=")[1].split()[0]) for line in text.splitlines() if "time=" in line][1:]
    assert min(times) >= 110 and max(times) < 300 and max(times) - min(times) > 5
    lab.emulators["a"].command("set up,delay=0")
    text = a.run(f"ping -c2 -i0.2 {b.address}").stdout
    assert 60 <= float(text.split("time=")[1].split()[0]) < 250


def test_capture_reads_what_was_sent(lab):
    net = lab.internet()
    a, b = lab.host("a", net.west), lab.host("b", net.east)
    one, every = capture.Capture(net.node, "west"), capture.Capture(b)
    sock = a.socket(bind=("0.0.0.0", 1111))
    sock.sendto(b"clear words", (b.address, 2222))
    a.run(f"ping -6 -c1 -W1 {b.address6}")
    seen = every.wait_for(lambda p: p.payload == b"clear words")
    assert (seen.source, seen.source_port, seen.destination_port, seen.protocol) == (a.address, 1111, 2222, 17)
    assert seen.interface == capture.interface_index(b, "eth0") and seen.ttl == 63
    assert any(p.payload == b"clear words" and p.ttl == 64 for p in one.stop())
    assert any(p.protocol == 58 and p.source == a.address6 for p in every.stop())


@pytest.mark.parametrize("neighbours", [True, False], ids=["one-segment", "router-between"])
@pytest.mark.parametrize("opener", [None, "ttl", "timestamp"])
@pytest.mark.parametrize("unsolicited", ["drop", "accept"])
def test_early_probe_spoils_a_port_unless_an_opener_went_first(lab, unsolicited, opener, neighbours):
    """What hole punching is up against, as the kernel does it.

    A probe that reaches a NAT that accepts strangers' packets leaves an entry there, and the host behind it then gets another
    port towards that prober. A packet that opens the own NAT but dies before the other (low TTL, or a full timestamp option
    whose overflow counter the next hop finds exhausted) prevents it.
    """
    net = lab.internet()
    nats = [lab.nat("nata", net.west, unsolicited=unsolicited, lan="10.0.1.0/24"),
            lab.nat("natb", net.west if neighbours else net.east, unsolicited=unsolicited, lan="10.0.2.0/24")]
    hosts = [lab.host(name, nat.lan) for name, nat in zip("ab", nats)]
    socks = [h.socket(bind=("0.0.0.0", PORT)) for h in hosts]
    others = [(nats[1].address, PORT), (nats[0].address, PORT)]
    for sock, to in zip(socks, others):
        if opener == "ttl":
            sock.sendmsg([b"opener"], [(0, 2, b"\2\0\0\0")], 0, to)
        elif opener == "timestamp":
            sock.sendmsg([b"opener"], [(0, 7, bytes([68, 8, 9, 14 << 4, 0, 0, 0, 0]))], 0, to)
    heard = [False, False]
    for _ in range(3):
        for sock, to in zip(socks, others):
            sock.sendto(b"probe", to)
        for side in (0, 1):
            received = receive(socks[side], 0.1)
            heard[side] |= received is not None and received[1] == others[side]
    works = unsolicited == "drop" or opener == "timestamp" or (opener == "ttl" and not neighbours)
    assert heard == [works, works]


def test_etc_files_and_resolver_configuration(lab):
    node = labs.Node(lab, "x")
    node.use_resolver("192.0.2.1", options="timeout:1")
    assert node.run("cat /etc/resolv.conf").stdout == "nameserver 192.0.2.1\noptions timeout:1\n"
    watcher = node.start("tail", "-n", "+1", "-f", "/etc/resolv.conf")
    watcher.wait_log("192.0.2.1")
    node.use_resolver("192.0.2.2")
    assert "192.0.2.2" in node.run("cat /etc/resolv.conf").stdout
    node.write_etc("hosts", "192.0.2.9 elsewhere\n")
    assert node.run("getent hosts elsewhere").stdout.split()[0] == "192.0.2.9"


CRASH = """
import os, sys
sys.path.insert(0, {here!r})
import lab
made = lab.Lab()
node = lab.Node(made, "left")
node.start("sleep", "1000")
print(node.namespace, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_crashed_run_left_is_removed(lab):
    here = os.path.dirname(__file__)
    name = subprocess.run([sys.executable, "-c", CRASH.format(here=here)], capture_output=True, text=True).stdout.strip()
    assert name in os.listdir("/run/netns")
    pids = labs.wait_until(lambda: subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split(),
                           5, "the program that was left has started")
    mine = labs.Node(lab, "mine")
    labs.remove_stale()
    assert name not in os.listdir("/run/netns") and not os.path.exists(f"/etc/netns/{name}")
    assert mine.namespace in os.listdir("/run/netns"), "a living run's stay"
    assert not os.path.exists(f"/proc/{pids[0]}") or open(f"/proc/{pids[0]}/stat").read().split(")")[1].split()[0] == "Z"


def test_unknown_emulator_settings_are_refused(lab):
    for args in (["bridge", "a"], ["nat", "--lan", "x=10.0.0.1/24"], ["bridge", "lo,los=1", "lo"], ["bridge", "lo,loss=2", "lo"]):
        done = subprocess.run([labs.EMULATOR, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 1 and done.stderr.startswith("lab_emulator: ")


def test_a_lab_may_outlive_its_maker_until_its_owner_ends(lab):
    """What `scripts/demo --keep` leaves: nobody removes it while the owner lives, everybody after that."""
    owner = subprocess.Popen(["sleep", "1000"])
    kept = labs.Lab(owner=owner.pid)
    node = labs.Node(kept, "kept")
    labs.remove_stale()
    assert node.namespace in os.listdir("/run/netns") and kept.dir.exists()
    owner.kill()
    owner.wait()
    labs.remove_stale()
    assert node.namespace not in os.listdir("/run/netns") and not kept.dir.exists()
