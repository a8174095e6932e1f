"""ESP between Detec hosts: the same calls, other packets, which an analyser that is not ours takes apart.

    a ── LAN 10.0.1.0/24 ── nata ── west ── net ── east ── natb ── LAN 10.0.2.0/24 ── b
                                     ▲       │
                              tshark judges  connector, resolver
"""
import json
import os
import random
import subprocess

import pytest

import lab as labs
import programs
import topologies
from test_data import NAME_A, NAME_B, PORT, Pair
from test_keys import export_keys, exported, ping_result
from test_path_mtu import up

IKE_AUTH, DIGITAL_SIGNATURE = "35", "14"
KEY_IS_NO_CERTIFICATE = [
    "BER Error: Wrong field in SEQUENCE: expected class:UNIVERSAL(0) tag:2(INTEGER) but found class:UNIVERSAL(0) tag:6",
    "BER Error: Wrong field in SEQUENCE: expected class:UNIVERSAL(0) tag:16(SEQUENCE) but found class:UNIVERSAL(0) tag:3"]


def dissect(capture, keys, directory, fields):
    """What tshark makes of a capture with the tables that the daemon has written: a list of {field: [values]}."""
    for table in ("esp_sa", "ikev2_decryption_table"):
        file = keys.with_name(f"{keys.name}.{table}")
        assert os.stat(file).st_mode & 0o777 == 0o600
        (directory / table).write_bytes(file.read_bytes())
    command = ["tshark", "-n", "-r", str(capture), "-d", f"udp.port=={PORT},udpencap", "-T", "json",
               "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE",
               "-Y", "isakmp || esp", *(word for field in fields for word in ("-e", field))]
    done = subprocess.run(command, env={**os.environ, "WIRESHARK_CONFIG_DIR": str(directory)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "UAT" not in done.stderr and "invalid" not in done.stderr, done.stderr
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def judge(capture, keys, directory):
    """Every packet of ESP has a good ICV and is what was sent; IKE is read to its proofs; nothing is malformed."""
    packets = dissect(capture, keys, directory, [
        "esp.spi", "esp.icv_good", "esp.icv_bad", "esp.protocol", "tcp.dstport", "icmp.type", "_ws.malformed",
        "isakmp.exchangetype", "isakmp.auth.method", "isakmp.delete.protoid", "_ws.expert.message"])
    spis = {json.loads(line)["spi"] for line in keys.read_text().splitlines()}
    ours = [p for p in packets if "esp.spi" in p and int(p["esp.spi"][0], 16) in spis]  # the others are STUN
    assert len(ours) > 100 and {int(p["esp.spi"][0], 16) for p in ours} == spis
    assert all((p["esp.icv_good"], p["esp.icv_bad"]) == (["1"], ["0"]) and "_ws.malformed" not in p for p in ours)
    protocols = {p["esp.protocol"][0] if "esp.protocol" in p else None for p in ours}
    assert protocols == {"0x01", "0x06", "0x04", None}  # ICMP, TCP, fragments in whole packets; it does not know our probes'
    assert any("80" in p.get("tcp.dstport", []) for p in ours)
    assert {p["icmp.type"][0] for p in ours if "icmp.type" in p} == {"0", "8"}
    ike = [p for p in packets if "isakmp.exchangetype" in p]
    proofs = [p for p in ike if IKE_AUTH in p["isakmp.exchangetype"] and DIGITAL_SIGNATURE in p.get("isakmp.auth.method", [])]
    assert len(proofs) >= 2
    assert any("isakmp.delete.protoid" in p for p in ike)
    for p in ike:
        if p in proofs:  # it takes a raw key (encoding 15) for a certificate, and has nothing else to say against it
            assert p.pop("_ws.expert.message") == KEY_IS_NO_CERTIFICATE
            del p["_ws.malformed"]
        assert "_ws.malformed" not in p, p


@pytest.mark.parametrize("suite", ["esp-aes128-gcm-iiv", "esp-aes256-gcm", "esp-aes128-ctr-sha256", "esp-aes256-cbc-sha256"])
def test_programs(lab, tmp_path, suite):
    """Web, ping of every form, fragments, and a search for the path's MTU through two NATs."""
    is_judged = not suite.endswith("iiv")  # RFC 8750 is too new for analysers
    # One datagram at a time, where each is looked at.
    pair = Pair(lab, suite, connect=False, export=is_judged, settings={"udp-offload": "no"} if is_judged else None)
    outside = pair.outside("udp")
    content = random.Random(2).randbytes(1_000_000)
    programs.WebServer(pair.b.node, {"file": content, "page": "some words\n"})
    assert pair.a.node.run(["curl", "-sS", "--max-time", "20", f"http://{NAME_B}/page"]).stdout == "some words\n"
    assert pair.a.node.run(["curl", "-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{size_download}",
                            f"http://{NAME_B}/file"]).stdout == str(len(content))
    peer = pair.a.peer(NAME_B)
    assert peer["suite"] == suite and peer["path"].startswith("direct ")
    for size in (0, 1, 1400, 1473, 9000, 60000):
        pair.a.node.run(["ping", "-c1", "-W5", "-s", str(size), NAME_B])
    pair.b.node.run(["ping", "-c1", "-W5", NAME_A])
    labs.wait_until(lambda: pair.a.peer(NAME_B)["mtu_state"] == "complete", what="the path's MTU to be found")
    assert pair.a.peer(NAME_B)["path_mtu"] == 1500
    pair.a.detec(["hangup", NAME_B])
    pair.b.wait_peer(NAME_A, "down")
    if is_judged:
        outside.stop()
        judge(outside.path, pair.keys, tmp_path)


def test_rekeys_on_a_relayed_path(lab):
    """Keys change each second, both ways, on a channel of the connector: every packet arrives, once."""
    settings = {"suites": "esp-chacha20-poly1305-iiv", "rekey": "1s", "relay": "always"}
    calls = topologies.Calls(lab, a=settings, b=settings)
    keys = export_keys(calls.b)
    calls.start()
    calls.a.node.run(["ping", "-c1", "-W10", NAME_B])
    assert calls.a.wait_peer(NAME_B)["path"].startswith("relay ")
    pinged = calls.a.node.run(["ping", "-q", "-c200", "-i0.02", "-W5", NAME_B])
    assert ping_result(pinged.stdout) == (200, 200, 0)
    found = exported(keys)
    assert len({entry["spi"] for entry in found}) == len(found) >= 6  # two of each child
    assert {entry["suite"] for entry in found} == {settings["suites"]}


def test_over_ipv6(lab):
    """The outer packets are IPv6, the inner ones are not; another suite has priority on the called host."""
    calls = up(lab, "6", a={"suites": "esp-aes256-gcm-iiv, aes128-gcm"}, b={"suites": "aes128-gcm, esp-aes256-gcm-iiv"})
    calls.a.node.run(["ping", "-c1", "-W10", "-s", "3000", NAME_B])
    peer = calls.a.wait_direct(NAME_B)
    assert peer["endpoint"].startswith("[") and peer["suite"] == "esp-aes256-gcm-iiv"
    assert calls.b.peer(NAME_A)["suite"] == peer["suite"]
