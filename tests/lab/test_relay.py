"""The relay: where no direct path opens, sealed datagrams go through the connector, over the TCP sessions of both hosts.

    a ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b
                                                         │
                                                connector, resolver

Each test says what stands in the places of nata and natb, and what net lets pass.
"""
import os
import socket
import struct
import time

import pytest

import capture
import lab as labs
import programs
import test_mobility as mobility
import topologies

NAME_A, NAME_B = "a.detec.example.net", "b.detec.example.net"
QUICK = {"attempt_timeout": "1s"}
SYMMETRIC = {"kind": "symmetric"}


def block_udp(net):
    """Between the hosts' networks no UDP passes; TCP does."""
    net.node.nft("table inet block { chain forward { type filter hook forward priority 0; meta l4proto udp drop; }; }")


def ping(node, name, *options, check=True):
    return node.run(["ping", "-c1", "-W10", *options, name], check=check)


def relayed(lab, **settings):
    """Two hosts behind symmetric NATs."""
    a, b = ({**QUICK, **settings} for _ in "ab")
    return topologies.Calls(lab, SYMMETRIC, SYMMETRIC, a=a, b=b).start()


def channels(calls):
    answer = calls.connector.ask("status")
    return answer.get("status", answer)["relay"]


def test_both_symmetric(lab):
    """The first packet is answered; bulk goes through; the connector sees frames, and both hosts say why."""
    calls = relayed(lab)
    page = os.urandom(1_000_000)
    programs.WebServer(calls.node_b, {"page": page})
    ping(calls.node_a, NAME_B)
    there, here = calls.a.wait_peer(NAME_B), calls.b.wait_peer(NAME_A)
    for report in (there, here):
        assert report["path"] == "relay detec.example.net" and report["endpoint"] is None
    assert "direct path" in there["path_reason"] or "answer" in there["path_reason"]
    assert "relay detec.example.net" in calls.a.detec("peers").stdout
    target = lab.dir / "page"
    calls.node_a.run(["curl", "-sS", "-m", "60", "-o", target, f"http://{NAME_B}/page"], timeout=70)
    assert target.read_bytes() == page
    ping(calls.node_b, NAME_A)
    report = channels(calls)
    assert report["channels"] >= 2 and report["bytes"] > len(page) and report["refused"] == 0


def test_udp_blocked_between_hosts(lab):
    """UDP passes nowhere, to the connector neither; TCP does: connected all the same, from either side."""
    calls = topologies.Calls(lab, a=QUICK, b=QUICK)
    block_udp(calls.net)
    calls.net.node.nft("insert rule inet block forward udp dport 53 accept; insert rule inet block forward udp sport 53 accept")
    calls.start()
    ping(calls.node_b, NAME_A)
    assert calls.b.wait_peer(NAME_A)["path"] == "relay detec.example.net"
    ping(calls.node_a, NAME_B)


def test_moves_to_the_direct_path(lab):
    """UDP is let through later: the tunnel leaves the relay by itself, and what runs in it lives on."""
    calls = topologies.Calls(lab, a=QUICK, b=QUICK)
    block_udp(calls.net)
    calls.net.node.nft("insert rule inet block forward udp dport { 53, 4500 } accept; insert rule inet block forward udp sport { 53, 4500 } accept")
    calls.start()
    ping(calls.node_a, NAME_B)
    assert calls.a.wait_peer(NAME_B)["path"] == "relay detec.example.net"
    running = calls.node_a.start("ping", "-i0.1", "-c150", "-W2", NAME_B)
    calls.net.node.nft("delete table inet block")
    for host, name in ((calls.a, NAME_B), (calls.b, NAME_A)):
        labs.wait_until(lambda host=host, name=name: host.peer(name)["path"].startswith("direct "), 12,
                        lambda host=host: f"{host.node.name} has a direct path\n{host.process.log}")
        assert host.peer(name)["path_reason"] is None
    ping(calls.node_b, NAME_A)
    running.send_signal(2)
    labs.wait_until(lambda: not running.is_running, 5, "ping ends")
    sent, received = (int(running.log.split(text)[0].split()[-1]) for text in (" packets transmitted", " received"))
    assert sent - received <= 5, running.log
    assert "tunnel down" not in calls.a.process.log


def test_always(lab):
    """The host that wants it so sends no check to anyone and shows its addresses to nobody."""
    calls = topologies.Calls(lab, "none", "none", a={"relay": "always"}).start()
    watch = capture.Capture(calls.node_b, "eth0", f"udp and host {calls.node_a.address}")
    ping(calls.node_a, NAME_B)
    assert calls.a.wait_peer(NAME_B)["path"] == "relay detec.example.net"
    ping(calls.node_b, NAME_A)
    assert watch.stop() == []


@pytest.mark.parametrize("where", ["host", "connector"])
def test_switched_off(lab, where):
    settings = {**QUICK, "relay": "no"} if where == "host" else QUICK
    calls = topologies.Calls(lab, SYMMETRIC, SYMMETRIC, a=settings, b=QUICK,
                             connector_settings={"relay": "no"} if where == "connector" else None).start()
    end = calls.a.call(NAME_B, check=False)[-1]
    assert end["up"] is False and end["step"] == "punch"
    assert channels(calls)["channels"] == 0 and channels(calls)["frames"] == 0


@pytest.mark.alone
def test_rate_limit(lab):
    """What a host sends above its rate is dropped, not queued: a ping beside bulk is not late, and bulk gets no more than its rate."""
    calls = topologies.Calls(lab, SYMMETRIC, SYMMETRIC, a={**QUICK}, b={**QUICK}, connector_settings={"relay_rate": 2000}).start()
    page = os.urandom(1_000_000)
    programs.WebServer(calls.node_b, {"page": page})
    ping(calls.node_a, NAME_B)
    took = float(calls.node_a.run(["curl", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{time_total}", f"http://{NAME_B}/page"], timeout=70).stdout)
    assert took > 3  # 250,000 bytes a second, and 65,536 at once
    assert channels(calls)["limited"] > 0
    ping(calls.node_a, NAME_B)


def test_the_connector_restarts(lab):
    """The channel goes with the session; the tunnel waits for the next one and moves onto it: its keys and connections live on."""
    calls = relayed(lab)
    ping(calls.node_a, NAME_B)
    calls.a.wait_peer(NAME_B), calls.b.wait_peer(NAME_A)
    stream = mobility.Stream(calls)
    stream.wait_moving(time.monotonic())
    calls.connector.stop()
    for host in (calls.a, calls.b):
        host.process.wait_log("the connection to the connector that relays it is lost")
    calls.connector.start()
    for host in (calls.a, calls.b):
        host.wait_login()
    stream.wait_moving(time.monotonic(), 25)
    for host, name in ((calls.a, NAME_B), (calls.b, NAME_A)):
        assert host.peer(name)["path"] == "relay detec.example.net"
    stream.close()
    mobility.assert_kept(calls)


def block_between(calls):
    """No UDP between the hosts, which may talk to connector and resolver all the same."""
    calls.net.node.nft("table inet block { chain forward { type filter hook forward priority 0; "
                       f"ip saddr {{ {calls.public_address('a')}, {calls.public_address('b')} }} "
                       f"ip daddr {{ {calls.public_address('a')}, {calls.public_address('b')} }} meta l4proto udp drop; }}; }}")


def test_direct_path_dies_and_comes_back(lab):
    """Within 3 s the relay carries what the direct path does not, with a long way between the hosts; when that is good again the tunnel goes
    back, and where it fails once more, right after that, the channel that is still open takes over. All the time one tunnel.
    """
    calls = topologies.Calls(lab, {}, {}, quality={"delay": 20}).start()
    ping(calls.node_a, NAME_B)
    ends = (calls.a, NAME_B), (calls.b, NAME_A)
    def wait_path(kind, timeout):
        for host, name in ends:
            labs.wait_until(lambda host=host, name=name: host.peer(name)["path"].startswith(kind), timeout,
                            lambda host=host: f"{host.node.name} has a {kind} path\n{mobility.logs(calls)}")
    wait_path("direct ", 5)
    stream = mobility.Stream(calls)
    for _ in range(2):
        stream.wait_moving(time.monotonic())
        pinger = mobility.Pinger(calls)
        block_between(calls)
        wait_path("relay ", 5)
        for host, name in ends:
            assert "direct path" in host.peer(name)["path_reason"]
        stream.wait_moving(time.monotonic())
        lost = pinger.lost() * mobility.EVERY
        print(f"ping {lost:.2f} s")
        assert lost <= 5, mobility.logs(calls)
        calls.net.node.nft("delete table inet block")
        wait_path("direct ", 20)
    stream.close()
    mobility.assert_kept(calls)


def test_strangers_frames(lab):
    """Whoever has not logged in reaches no channel: frames go nowhere, and too long ones end the connection."""
    calls = relayed(lab)
    ping(calls.node_a, NAME_B)
    before = channels(calls)
    stranger = lab.host("stranger", calls.net.west)
    with stranger.socket(socket.SOCK_STREAM) as s:
        s.connect((calls.connector_node.address, 4500))
        try:  # the connector may have hung up before all is written
            s.sendall(b"IKETCP" + b"".join(struct.pack(">HI", 106, channel) + bytes(100) for channel in range(1, 500)))
            s.sendall(struct.pack(">HI", 9000, 1) + bytes(8994))
            assert s.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
    after = channels(calls)
    assert after["frames"] - before["frames"] < 20 and after["refused"] == before["refused"]
    assert calls.b.peer(NAME_A)["path"] == "relay detec.example.net"
