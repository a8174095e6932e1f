"""Plain IPsec peers that are not ours: the core of scripts/interop.

    ours ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── theirs (strongSwan's charon)

Who calls stands behind the NAT; see interop.py.
"""
import re

import pytest

import interop
import ipsec
import lab as labs
import programs

pytestmark = pytest.mark.skipif(not ipsec.has_charon(), reason="strongSwan is not installed: scripts/install-deps")


def test_the_first_packet_calls_a_gateway(lab):
    """By its name, with a shared secret; rekeyed by both sides under traffic without loss; hung up by it."""
    pair = interop.Pair(lab, ours={"rekey": "3s"})
    assert pair.ping_there(1) == 1
    peer = pair.ours.wait_peer(interop.PEER)
    assert peer["protocol"] == "esp" and peer["direction"] == "out"
    # In the kernel or here, it is told; and why it is here.
    offload = pair.ours.status()["esp_offload"]
    assert offload["mode"] == "auto" and offload["is_active"] == (offload["reason"] is None)
    assert peer["esp_offload"] == {"is_active": offload["is_active"], "reason": offload["reason"]}
    assert peer["path"] == f"direct {pair.their_outer}:4500"
    there = ipsec.spis(pair.peer.sas())
    assert {int(peer["spi_in"], 16), int(peer["spi_out"], 16)} == set(there)
    pair.check_data()
    flood = pair.node_a.start("ping", "-i", "0.02", "-c", "250", pair.address())
    ike = peer["ike_spis"]
    labs.wait_until(lambda: pair.ours.peer(interop.PEER)["spi_in"] != peer["spi_in"], 6, "rekeyed by us")
    after = pair.ours.peer(interop.PEER)["spi_in"]
    pair.peer.rekey(child="c")
    labs.wait_until(lambda: pair.ours.peer(interop.PEER)["spi_in"] != after, 4, "rekeyed by it")
    pair.peer.rekey(ike="t")
    labs.wait_until(lambda: pair.ours.peer(interop.PEER)["ike_spis"] != ike, 4, "a new IKE SA")
    flood.popen.wait(20)
    assert interop.received(flood.log) == 250, flood.log[-300:]
    assert pair.ours.detec(["ping", "theirs"]).returncode == 0
    pair.peer.terminate()
    pair.ours.wait_peer(interop.PEER, "down")


def test_a_peer_with_a_certificate_calls(lab):
    """From behind its NAT; allowed what [allow] says, and found dead when it is cut off. What is not taken is refused, in words."""
    pair = interop.Pair(lab, we_call=False, auth="cert", key_kind="ecdsa", ours={"dpd": "2s"})
    pair.peer.configure({"t": {**pair.connection, "proposals": "aes256-sha1-modp1024"}})
    pair.peer.swanctl("--initiate --child c --ike t --timeout 3", check=False)
    pair.ours.process.wait_log("refused: NO_PROPOSAL_CHOSEN", 5)
    pair.peer.configure({"t": pair.connection})
    peer = pair.call()
    assert peer["direction"] == "in"
    pair.check_data()
    pair.node_b.ip("link set dev eth0 down")
    pair.ours.wait_peer(interop.PEER, "down", 45)


SINK = """
import socket
t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); t.bind(("0.0.0.0", 9)); t.listen(4)
while True:
    s = t.accept()[0]; got = 0
    while data := s.recv(65536):
        got += len(data)
    s.sendall(b"%d" % got); s.close()
"""
POUR = """
import socket, sys
t = socket.create_connection((sys.argv[1], 9), 40); t.sendall(bytes(300000)); t.shutdown(socket.SHUT_WR); print(t.recv(99).decode())
"""


def test_a_narrow_path_without_a_word(lab):
    """Behind our NAT packets above 1300 bytes vanish: TCP gets through all the same, by what the living peer does not answer."""
    pair = interop.Pair(lab)
    pair.net.node.nft("table inet narrow { chain f { type filter hook forward priority 0; meta l4proto udp meta length > 1300 drop; }; }")
    pair.node_b.start("/usr/bin/python3", "-c", SINK)
    labs.wait_until(lambda: programs.is_listening(pair.node_b, 9), 5, "the sink listens")
    pair.call()
    assert pair.ours.peer(interop.PEER)["path_mtu"] == 1500
    done = pair.node_a.run(["/usr/bin/python3", "-c", POUR, pair.address()], timeout=60)
    assert done.stdout.strip() == "300000"
    assert pair.ours.peer(interop.PEER)["path_mtu"] == 1280


def test_a_kernel_that_is_wanted_and_not_there(lab):
    """`esp-offload = kernel` starts where the kernel can, and nowhere else; `off` does not ask."""
    host = programs.Host(lab.host("h", lab.internet().west), **{"esp-offload": "auto", "dns": "off", "zone": "z.example"})
    host.start()
    can = host.status()["esp_offload"]["is_active"]
    host.stop()
    host.sections["host"]["esp-offload"] = "off"
    host.start()
    assert host.status()["esp_offload"] == {"mode": "off", "is_active": False, "reason": "esp-offload = off"}
    host.stop()
    host.sections["host"]["esp-offload"] = "kernel"
    if can:
        host.start()
        assert host.status()["esp_offload"] == {"mode": "kernel", "is_active": True, "reason": None}
        return
    host.start(wait=False)
    assert host.process.popen.wait(10) == 1
    assert "[host] esp-offload = kernel: the kernel lacks" in host.process.log
    assert "detec" not in host.node.run(["ip", "-br", "link"]).stdout
