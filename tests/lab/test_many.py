"""One detecd with hundreds of tunnels, each of a host of its own: the core of `scripts/bench --tunnels`.

    server (detecd) ── 192.0.2.1 ══ wire ══ 192.0.2.2 ── swarm (a connector, and 300 hosts at 198.18.0.0/15)
"""
import signal
import sys

import lab as labs

sys.path.insert(0, str(labs.ROOT / "tests/bench"))

import swarm as swarms  # noqa: E402

COUNT = 300


def test_hundreds_of_tunnels(lab):
    """All come up, carry a packet each way, are told of, outlive a reload, and are closed in an orderly way."""
    swarm = swarms.Swarm(lab, COUNT)
    row = swarms.measure(swarm, COUNT, 0.2)
    assert row["echoed"] == row["peers"] == row["still_up"] == COUNT, row
    assert 0 < row["bytes"] < 200_000, row
    addresses = {peer["address"] for peer in swarm.host.peers()}
    assert len(addresses) == COUNT

    swarm.host.process.send_signal(signal.SIGHUP)
    swarm.host.process.wait_log("reloaded")
    assert swarm.echo() == COUNT and swarm.stats()["up"] == COUNT

    swarm.host.stop()
    labs.wait_until(lambda: swarm.stats()["up"] < COUNT / 10, 20, "the hosts have heard that their tunnels are closed")
