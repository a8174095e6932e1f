"""Rows of scripts/interop for `ike-version = 1`: Main and Quick Mode with strongSwan."""
import interop
from lab import LabError, wait_until

PROPOSALS = "aes256-sha256-modp3072,aes128-sha256-x25519"


def pair(lab, ours=None, theirs=None, **options):
    return interop.Pair(lab, ours={"ike-version": "1", **(ours or {})},
                        theirs={"version": 1, "proposals": PROPOSALS, **(theirs or {})}, **options)


def basic(**options):
    """Up, data both ways, down."""
    def run(lab):
        both = pair(lab, **options)
        both.call()
        sas = both.peer.sas()
        if "IKEv1" not in sas or "-in-UDP" not in sas:
            raise LabError(f"charon has another kind of SA:\n{sas}")
        both.check_data()
        both.hang_up()
    return run


def group(ours, theirs):
    """ours: what `ike =` says, theirs: what charon calls it."""
    def run(lab):
        both = pair(lab, ours={"ike": ours}, theirs={"proposals": theirs})
        both.call()
        both.check_data()
    return run


def pfs(we_call):
    """Each child with a key exchange of its own, group 14; by default the same for phase 1."""
    def run(lab):
        both = pair(lab, we_call=we_call, esp=("aes256-gcm, modp2048", "aes256gcm16-modp2048"),
                    theirs={"proposals": "aes256-sha256-modp2048"}, child={"rekey_time": "3s", "rand_time": "0s"})
        both.call()
        before = both.ours.peer(interop.PEER)["spi_in"]
        if "MODP_2048" not in both.peer.sas().split("c: ")[1]:
            raise LabError(f"no group in the child:\n{both.peer.sas()}")
        wait_until(lambda: both.ours.peer(interop.PEER)["spi_in"] != before, 10, "another child")
        both.check_data()
        done = both.ours.detec(["ping", "theirs"], check=False)
        if done.returncode:
            raise LabError(f"detec ping: {done.stdout}{done.stderr}")
    return run


def rekeyed(lab):
    """Both phases, by both sides, under a flood of echo requests."""
    both = pair(lab, ours={"rekey": "3s"},
                theirs={"rand_time": "0s", "rekey_time": "0s", "reauth_time": "7s", "over_time": "60s"},
                child={"rekey_time": "4s", "rand_time": "0s", "life_time": "60s"})
    both.call()
    before = both.ours.peer(interop.PEER)
    flood = both.node_a.start("ping", "-i", "0.02", "-c", "500", both.address())
    seen = {"spi_in": set(), "ike_spis": set()}
    def is_enough():
        now = both.ours.peer(interop.PEER)
        for key, values in seen.items():
            values.add(now[key])
        return len(seen["spi_in"]) >= 4 and len(seen["ike_spis"]) >= 3
    wait_until(is_enough, 20, lambda: f"both phases are renewed: {seen}, from {before}\n{both.peer.sas()}")
    flood.popen.wait(30)
    count = interop.received(flood.log)
    if count != 500:
        raise LabError(f"{count} of 500 echo requests answered while rekeying")
    both.check_data()


def dead(lab):
    """It is cut off: we find out."""
    both = pair(lab, nats=0, ours={"dpd": "2s"})
    both.call()
    both.check_data()
    both.node_b.ip("link set dev eth0 down")
    both.ours.wait_peer(interop.PEER, "down", 30)


def old_ciphers(lab):
    """What it offers is refused, in words."""
    both = pair(lab, we_call=False, theirs={"proposals": "3des-sha1-modp1024"},
                charon={"load": "random nonce aes des sha1 sha2 md5 hmac kdf drbg pem pkcs1 pkcs8 x509 pubkey openssl gmp "
                                "kernel-libipsec kernel-netlink socket-default vici updown"})
    both.peer.swanctl("--initiate --child c --ike t --timeout 3", check=False)
    both.ours.process.wait_log("3DES-CBC, SHA-1, group 2, pre-shared key", 5)
    wait_until(lambda: "NO_PROPOSAL_CHOSEN" in both.peer.log, 5, lambda: f"charon is told\n{both.peer.log[-2000:]}")


def wrong_key(lab):
    both = pair(lab, ours={"psk": '"another secret of few words"'})
    done = both.ours.detec(["call", "theirs", "--timeout", "6"], check=False)
    if done.returncode != 1:
        raise LabError(f"a call with a wrong key: exit {done.returncode}")


def rows(row, user, kernel, need_charon, need_guest):
    """row: the class of interop_rows."""
    def side(we_call):
        return "we call" if we_call else "it calls"
    found = [row(user, f"IKEv1, tunnel, {side(ours)}, {nats} NATs", basic(we_call=ours, nats=nats), need_charon)
             for ours in (True, False) for nats in (0, 1, 2)]
    found += [row(user, f"IKEv1, {ours}", group(ours, theirs), need_charon) for ours, theirs in (
        ("aes256-cbc, sha512, modp3072", "aes256-sha512-modp3072"), ("aes128-cbc, sha256, modp2048", "aes128-sha256-modp2048"),
        ("aes256-cbc, sha384, ecp384", "aes256-sha384-ecp384"), ("aes128-cbc, sha256, ecp256", "aes128-sha256-ecp256"))]
    found += [row(user, f"IKEv1, {what} {name}, {side(ours)}", basic(auth=auth, key_kind=kind, we_call=ours), need_charon)
              for auth, what in (("cert", "certificate"), ("pubkey", "raw key"))
              for name, kind in (("RSA", "rsa"), ("ECDSA P-256", "ecdsa"), ("ECDSA P-384", "ecdsa384")) for ours in (True, False)]
    found += [row(user, f"IKEv1, RSA with an intermediate CA, in fragments of IP, {side(ours)}",
                  basic(auth="chain", key_kind="rsa", we_call=ours), need_charon) for ours in (True, False)]
    found += [row(user, f"IKEv1, PFS, {side(ours)}", pfs(ours), need_charon) for ours in (True, False)]
    found += [row(user, "IKEv1, both phases renewed by both, no loss", rekeyed, need_charon),
              row(user, "IKEv1, dead peer, found by us", dead, need_charon),
              row(user, "IKEv1, 3DES and SHA-1 are refused", old_ciphers, need_charon),
              row(user, "IKEv1, a wrong key", wrong_key, need_charon)]
    found += [row(kernel, f"IKEv1, transport with NAT-OA, {side(ours)}, {nats} NATs",
                  basic(we_call=ours, nats=nats, mode="transport", guest=True), need_guest)
              for ours in (True, False) for nats in (0, 1)]
    return found
