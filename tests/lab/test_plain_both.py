"""Two hosts that know each other as plain peers call each other at the same time.

    ours ── 100 ms ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── theirs
"""
import interop
import lab as labs
import programs
from interop import OUR_NAME, PEER


def test_both_call_at_once(lab):
    """Several times over: each ends in one SA, the same one at both sides, which stays."""
    two = interop.Two(lab, has_nat=False, quality={"delay": 100}, ours={"mode": "beet"}, theirs={"mode": "beet"})
    for _ in range(3):
        calls = [host.node.start(programs.DETEC, "call", name, "--timeout", "10", "--socket", host.socket_path)
                 for host, name in ((two.ours, "theirs"), (two.theirs, "ours"))]
        for process in calls:
            assert process.popen.wait(20) == 0, process.log
        labs.wait_until(lambda: two.ours.peer(PEER)["ike_spis"] == two.theirs.peer(OUR_NAME)["ike_spis"], 3,
                        lambda: f"one SA\n{two.ours.peer(PEER)}\n{two.theirs.peer(OUR_NAME)}")
        assert two.ping(10, 0.1) == 10
        ours, theirs = two.ours.peer(PEER), two.theirs.peer(OUR_NAME)
        assert ours["ike_spis"] == theirs["ike_spis"] and {ours["direction"], theirs["direction"]} == {"in", "out"}
        assert ours["spi_in"] == theirs["spi_out"] and ours["spi_out"] == theirs["spi_in"]
        two.ours.detec("hangup theirs")
        two.theirs.wait_peer(OUR_NAME, "down")
