"""The pool: which addresses are given out, which never, and what is kept over restarts.

    a (detecd) ── west ── net ── east ── connector (zone), resolver, names (answers 0.0.0.1 for every name), b (detecd)
"""
import ipaddress
import socket
import time

import dns_server as dns
import lab as labs
import programs
import pytest
import test_dns
import topologies

ZONE = topologies.ZONE
IP_RECVERR = 11


def make(lab, pool="0.0.0.0/8"):
    """Two public hosts; a asks a server for which each name of the zone is a host that is logged in."""
    net = test_dns.make(lab, a={"pool": pool}, is_connector_known=True)
    names = lab.host("names", net.net.east)
    dns.Server(names, lambda message, is_tcp: dns.answer(message, answers=[dns.record(b"\xc0\x0c", dns.A, bytes([0, 0, 0, 1]), 5)])
               if dns.question_of(message)[1] == dns.A else dns.answer(message))
    net.names = names.address
    return net


def look_up(net, name):
    return dns.addresses(dns.ask(net.node_a, net.names, dns.query(name)))[0]


MASK = 2**64 - 1


def siphash(data, key=b"detec state file"):
    """SipHash-2-4, from its paper: the checksum of state files."""
    def turn(value, count):
        return (value << count | value >> 64 - count) & MASK

    def rounds(v, count):
        for _ in range(count):
            v[0] = v[0] + v[1] & MASK
            v[1] = turn(v[1], 13) ^ v[0]
            v[0] = turn(v[0], 32)
            v[2] = v[2] + v[3] & MASK
            v[3] = turn(v[3], 16) ^ v[2]
            v[0] = v[0] + v[3] & MASK
            v[3] = turn(v[3], 21) ^ v[0]
            v[2] = v[2] + v[1] & MASK
            v[1] = turn(v[1], 17) ^ v[2]
            v[2] = turn(v[2], 32)
    k0, k1 = (int.from_bytes(key[i:i + 8], "little") for i in (0, 8))
    v = [0x736F6D6570736575 ^ k0, 0x646F72616E646F6D ^ k1, 0x6C7967656E657261 ^ k0, 0x7465646279746573 ^ k1]
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at:at + 8], "little")
        v[3] ^= word
        rounds(v, 2)
        v[0] ^= word
    v[2] ^= 255
    rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def write_pool(host, prefix, entries):
    """A state file as the daemon writes it: (address, name, "used" or "released", seconds)."""
    text = f"detec-pool 1 {prefix}\n" + "".join(f"{a} {n} {kind} {int(s)}\n" for a, n, kind, s in entries)
    directory = host.dir / "state"
    directory.mkdir(mode=0o700, exist_ok=True)
    (directory / "pool").write_text(text + f"end {len(entries)} {siphash(text.encode()):016x}\n")


def read_pool(host):
    """{name: (address, kind, seconds)}: the lines up to the frame's last one, and those that were added behind it."""
    lines = [line.split() for line in (host.dir / "state/pool").read_text().splitlines()[1:]]
    return {n: (a, kind, int(s)) for a, n, kind, s, *_ in (line for line in lines if line and line[0] != "end")}


def test_the_checksum_of_this_test():
    assert siphash(bytes(range(15)), bytes(range(16))) == 0xA129CA6149BE45E5  # of the paper


def test_reserved_addresses_and_a_full_pool(lab):
    """Twelve of sixteen: never .0, .1, its own (.2) or the broadcast address; the thirteenth name gets none."""
    net = make(lab, "10.99.0.0/28")
    net.start(hosts=[net.a])
    assert net.a.status()["address"] == "10.99.0.2"
    given = {f"h{i}.{ZONE}": look_up(net, f"h{i}.{ZONE}") for i in range(12)}
    assert sorted(map(ipaddress.ip_address, given.values())) == [ipaddress.ip_address(f"10.99.0.{i}") for i in range(3, 15)]
    assert look_up(net, f"late.{ZONE}") == "0.0.0.1"
    net.a.process.wait_log(f"late.{ZONE}: gets no peer address")
    assert {name: address for name, (address, _, _) in read_pool(net.a).items()} == given
    assert {name: look_up(net, name) for name in given} == given


@pytest.mark.parametrize("kind", ["used", "released"])
def test_a_freed_address_rests_a_day(lab, kind):
    """Of a full pool's names the one that has been unused for more than a day gives way, and no other; restarts included."""
    net = make(lab, "10.99.0.0/28")
    now, day = time.time(), 86400
    old = [(f"10.99.0.{i}", f"old{i}.{ZONE}", kind, now - day + 300) for i in range(3, 15)]
    old[5] = (*old[5][:3], now - 2 * day)
    write_pool(net.a, "10.99.0.0/28", old)
    net.start(hosts=[net.a])
    assert look_up(net, f"old3.{ZONE}") == "10.99.0.3", "a name gets its own address back"
    assert look_up(net, f"new.{ZONE}") == "10.99.0.8"
    assert look_up(net, f"late.{ZONE}") == "0.0.0.1"
    assert f"old8.{ZONE}" not in read_pool(net.a)


def test_use_is_written_down(lab):
    """An address in use is known to be, also after a crash: its day begins at its last use, not at its first."""
    net = make(lab)
    before = time.time()
    net.start()
    net.a.stop()
    write_pool(net.a, "0.0.0.0/8", [("0.0.9.9", net.b.name, "used", before - 2 * 86400)])
    net.a.start()
    assert look_up(net, net.b.name) == "0.0.9.9"
    labs.wait_until(lambda: read_pool(net.a)[net.b.name][2] >= before, 5, "the use is in the state file")
    net.a.kill()
    net.a.start()
    assert look_up(net, net.b.name) == "0.0.9.9"


def test_another_prefix_end_to_end(lab):
    """`pool = 10.99.0.0/24` on one side, the default on the other: each has its own view of the other."""
    net = test_dns.make(lab, a={"pool": "10.99.0.0/24"})
    net.start()
    programs.WebServer(net.node_b, {"page": "some words\n"})
    programs.WebServer(net.node_a, {"page": "other words\n"})
    assert net.node_a.run(f"curl -sS --max-time 10 http://{net.b.name}/page").stdout == "some words\n"
    assert net.node_b.run(f"curl -sS --max-time 10 http://{net.a.name}/page").stdout == "other words\n"
    mine, its = net.a.peer(net.b.name)["address"], net.b.peer(net.a.name)["address"]
    assert ipaddress.ip_address(mine) in ipaddress.ip_network("10.99.0.0/24") and its.startswith("0.")
    assert programs.dig(net.node_a, ipaddress.ip_address(mine).reverse_pointer, "PTR")[1] == [("PTR", f"{net.b.name}.")]
    rules = net.node_a.run("ip rule").stdout
    assert "to 10.99.0.0/24 lookup" in rules and "to 10.99.0.0/24 unreachable" in rules and "0.0.0.0/8" not in rules
    net.a.kill()
    assert "unreachable" in net.node_a.route_to(mine)


@pytest.mark.parametrize("pool", ["0.0.0.0/8", "10.99.0.0/24"])
def test_raw_addresses_that_stand_for_nobody(lab, pool):
    """0.0.0.1 itself (a name that went past the daemon), and addresses nobody has: ICMP unreachable, and a reason in the log."""
    net = test_dns.make(lab, a={"pool": pool})
    net.start(hosts=[net.a])
    base = ipaddress.ip_network(pool)[0]
    for address in (str(base + 1), str(base + 77)):
        with net.node_a.socket(socket.SOCK_STREAM, bind=None, timeout=3) as sock:
            with pytest.raises(OSError) as failure:
                sock.connect((address, 80))
            assert not isinstance(failure.value, TimeoutError)
        with net.node_a.socket(bind=None, timeout=3) as sock:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)  # "host unreachable" is told to those who ask for it
            sock.connect((address, 9))
            sock.send(b"hello")
            with pytest.raises(OSError) as failure:
                sock.recv(100)
            assert not isinstance(failure.value, TimeoutError)
        ping = net.node_a.run(["ping", "-c1", "-W3", address], check=False)
        assert ping.returncode == 1 and "Unreachable" in ping.stdout
        net.a.process.wait_log(f"packet to {address} refused")
    if pool == "0.0.0.0/8":
        assert '0.0.0.1 only says "reachable through Detec"' in net.a.process.log
    assert net.a.peers() == []


@pytest.mark.parametrize("damage", ["cut", "edited", "twice", "empty"])
def test_damaged_state_hands_out_nothing(lab, damage):
    """A damaged pool file: said loudly, no address is given out, and the file stays as it is until somebody has seen to it."""
    net = make(lab)
    net.start()
    address = look_up(net, net.b.name)
    net.a.stop()
    path = net.a.dir / "state/pool"
    good = path.read_text()
    lines = good.splitlines(keepends=True)
    bad = {"cut": "".join(lines[:-1]), "edited": good.replace(address, "0.0.0.77"), "twice": good + good, "empty": ""}[damage]
    path.write_text(bad)
    net.a.start()
    assert f"{path}" in net.a.process.log and "no peer gets an address until it is repaired" in net.a.process.log
    assert look_up(net, net.b.name) == "0.0.0.1"
    last = net.a.call(net.b.name, check=False)[-1]
    assert not last.get("is_up") and path.read_text() == bad
    assert net.node_a.run(["ping", "-c1", "-W3", address], check=False).returncode == 1
    net.a.stop()
    assert path.read_text() == bad
    path.write_text(good)
    net.a.start()
    assert look_up(net, net.b.name) == address


def test_state_that_cannot_be_kept(lab):
    """A state directory that is none, a file that cannot be read, one that cannot be written: clear words, no address."""
    net = make(lab)
    state = net.a.dir / "state"

    def fails(word):
        net.a.write_config()
        done = net.node_a.run([programs.DETECD, "-c", net.a.config_path], check=False, timeout=10)
        assert done.returncode == 1 and word in done.stderr, done.stderr
    state.write_text("a file\n")
    fails(str(state))
    state.unlink()
    (state / "pool").mkdir(parents=True)
    fails(str(state / "pool"))
    (state / "pool").rmdir()
    net.start(hosts=[net.a])
    for path in state.iterdir():
        path.unlink()
    state.rmdir()
    state.write_text("in the way\n")
    assert look_up(net, net.b.name) == "0.0.0.1"
    net.a.process.wait_log(str(state / "pool"))
