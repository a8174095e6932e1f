"""A plain IPsec peer that speaks nothing newer than IKEv1: the core of the rows of interop_ikev1.py.

    ours ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── theirs (strongSwan's charon)
"""
import pytest

import interop
import interop_ikev1
import ipsec

pytestmark = pytest.mark.skipif(not ipsec.has_charon(), reason="strongSwan is not installed: scripts/install-deps")


def test_the_first_packet_calls_an_old_gateway(lab):
    """Main and Quick Mode from behind a NAT; both phases renewed by both sides, no echo request lost; closed by us."""
    both = interop_ikev1.pair(lab, ours={"rekey": "3s"},
                              theirs={"rand_time": "0s", "rekey_time": "0s", "reauth_time": "5s", "over_time": "60s"})
    assert both.ping_there(1) == 1
    peer = both.ours.wait_peer(interop.PEER)
    assert peer["path"] == f"direct {both.their_outer}:4500" and peer["direction"] == "out"
    assert {int(peer["spi_in"], 16), int(peer["spi_out"], 16)} == set(ipsec.spis(both.peer.sas()))
    sas = both.peer.sas()
    assert "IKEv1" in sas and "TUNNEL-in-UDP" in sas, sas
    flood = both.node_a.start("ping", "-i", "0.02", "-c", "300", both.address())
    interop.wait_until(lambda: both.ours.peer(interop.PEER)["ike_spis"] != peer["ike_spis"], 12, "another phase 1")
    interop.wait_until(lambda: both.ours.peer(interop.PEER)["spi_in"] != peer["spi_in"], 12, "another child")
    flood.popen.wait(20)
    assert interop.received(flood.log) == 300, flood.log[-300:]
    assert both.ping_here() == 3
    both.hang_up()


def test_an_old_gateway_with_a_certificate_calls(lab):
    """RSA; its child has a key exchange of its own, as we demand it; `detec ping` asks by IKEv1."""
    both = interop_ikev1.pair(lab, we_call=False, auth="cert", key_kind="rsa", esp=("modp2048", "aes256gcm16-modp2048"))
    both.call()
    assert "MODP_2048" in both.peer.sas()
    assert both.ping_there() == 3 and both.ping_here() == 3
    assert both.ours.detec(["ping", "theirs"]).returncode == 0


def test_an_old_gateway_calls(lab):
    """Only if it has what is taken here: 3DES and SHA-1 are refused in words."""
    interop_ikev1.old_ciphers(lab)
