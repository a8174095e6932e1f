"""ESP between Detec hosts: the same calls, other packets, which others' analysers know.

    a ── LAN 10.0.1.0/24 ── nata ── west ── net ── east ── natb ── LAN 10.0.2.0/24 ── b
                                     ▲       │
                             outside captures  connector, resolver
"""
import random

import pytest

import lab as labs
import programs
from test_data import NAME_A, NAME_B, Pair

RELAYED = {"relay": "always"}


@pytest.mark.parametrize("suite", ["esp-aes128-gcm-iiv", "esp-aes256-cbc-sha256"])
def test_programs(lab, suite):
    """Web, ping of every form, fragments, and a search for the path's MTU through two NATs."""
    pair = Pair(lab, suite, connect=False)
    content = random.Random(2).randbytes(3_000_000)
    programs.WebServer(pair.b.node, {"file": content, "page": "some words\n"})
    assert pair.a.node.run(["curl", "-sS", "--max-time", "20", f"http://{NAME_B}/page"]).stdout == "some words\n"
    assert pair.a.node.run(["curl", "-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{size_download}",
                            f"http://{NAME_B}/file"]).stdout == str(len(content))
    peer = pair.a.peer(NAME_B)
    assert peer["suite"] == suite and peer["path"].startswith("direct ")
    for size in (0, 1, 1400, 1473, 9000, 60000):
        pair.a.node.run(["ping", "-c1", "-W5", "-s", str(size), NAME_B])
    pair.b.node.run(["ping", "-c1", "-W5", NAME_A])
    pair.a.wait_peer(NAME_B, "up")
    labs.wait_until(lambda: pair.a.peer(NAME_B)["mtu_state"] == "complete", what="the path's MTU to be found")
    assert pair.a.peer(NAME_B)["path_mtu"] == 1500
    pair.a.detec(["hangup", NAME_B])
    pair.b.wait_peer(NAME_A, "down")
