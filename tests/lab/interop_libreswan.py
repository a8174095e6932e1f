"""Rows of scripts/interop with libreswan in a guest: both versions of IKE, NULL authentication, and its fault injections, by which it is a
peer that has the keys and sends what nobody should."""
import contextlib
import sys

import interop
import pluto
from lab import LabError, wait_until

NAME = "libreswan 4.10"


class Pair(interop.Pair):
    guest_peer = staticmethod(lambda guest, settings: pluto.GuestPluto(guest))

    def __init__(self, lab, version=2, ours=None, theirs=None, **options):
        ours = {**({"ike-version": "1"} if version == 1 else {}), **(ours or {})}
        # What it offers by itself in IKEv1 is SHA-1.
        child = {"esp_proposals": "aes_gcm256"} if version == 1 else {}
        super().__init__(lab, guest=True, ours=ours, theirs={"version": version, **(theirs or {})}, child=child, **options)


def basic(**options):
    """Up, data both ways, down."""
    def run(lab):
        both = Pair(lab, **options)
        both.call()
        both.check_data()
        both.hang_up()
    return run


# What it is told to do wrong, in both sides' calls.
FAULTS_2 = (
    "ke-payload:OMIT", "ke-payload:EMPTY", "ke-payload:DUPLICATE", "ke-payload:0", "ke-payload:255",
    "ike-key-length-attribute:OMIT", "ike-key-length-attribute:EMPTY", "ike-key-length-attribute:DUPLICATE", "ike-key-length-attribute:7",
    "child-key-length-attribute:OMIT", "child-key-length-attribute:EMPTY", "child-key-length-attribute:DUPLICATE",
    "child-key-length-attribute:1", "corrupt-encrypted", "jacob-two-two", "replay-duplicates", "replay-forward", "replay-backward",
    "replay-encrypted", "major-version-bump", "minor-version-bump", "send-bogus-isakmp-flag", "send-bogus-payload-flag",
    "send-nonzero-reserved", "send-nonzero-reserved-id", "bad-ikev2-auth-xchg", "ike-initiator-spi:0", "ike-initiator-spi:1234",
    "ike-responder-spi:0", "ike-responder-spi:1234", "add-unknown-v2-payload-to:IKE_SA_INIT",
    "add-unknown-v2-payload-to:IKE_SA_INIT unknown-v2-payload-critical", "add-unknown-v2-payload-to-sk:IKE_AUTH",
    "add-unknown-v2-payload-to-sk:IKE_AUTH unknown-v2-payload-critical", "force-v2-auth-method:NULL", "force-v2-auth-method:RSA",
    "omit-v2-ike-auth-child", "ignore-v2-ike-auth-child", "send-no-ikev2-auth", "drop-i2", "send-no-idr", "send-no-delete",
    "ikev2-add-ike-transform:65537", "ikev2-add-child-transform:458752", "v2-proposal-dh:omit", "v2-proposal-integ:omit",
    "send-bogus-dcookie", "rekey-initiate-supernet", "omit-v2n-signature-hash-algorithms", "delete-on-retransmit",
)
FAULTS_1 = (
    "ke-payload:OMIT", "ke-payload:EMPTY", "ke-payload:DUPLICATE", "ke-payload:0", "ke-payload:255",
    "ike-key-length-attribute:OMIT", "ike-key-length-attribute:EMPTY", "ike-key-length-attribute:DUPLICATE", "ike-key-length-attribute:7",
    "v1-hash-exchange:QUICK v1-hash-payload:OMIT", "v1-hash-exchange:QUICK v1-hash-payload:EMPTY",
    "v1-hash-exchange:QUICK v1-hash-payload:DUPLICATE", "v1-hash-exchange:QUICK v1-hash-payload:0",
    "v1-hash-exchange:NOTIFICATION v1-hash-payload:OMIT", "v1-hash-exchange:NOTIFICATION v1-hash-payload:0",
    "v1-hash-exchange:DELETE v1-hash-payload:OMIT", "v1-hash-exchange:DELETE v1-hash-payload:EMPTY", "bust-mi2", "bust-mr2", "corrupt-encrypted", "jacob-two-two",
    "replay-duplicates", "replay-forward", "replay-backward", "replay-encrypted", "major-version-bump", "minor-version-bump",
    "send-bogus-isakmp-flag", "send-bogus-payload-flag", "ike-initiator-spi:0", "ike-initiator-spi:1234", "ike-responder-spi:0",
    "ike-responder-spi:1234", "send-no-main-r2", "send-no-delete", "ikev1-del-with-notify",
)
HALF_OPEN_MAX, SAS_MAX = 32, 8


class Hostile:
    """One pair that is used again for every fault."""

    def __init__(self, lab, version):
        self.both = Pair(lab, version=version, nats=0)
        self.both.connection["remote_addrs"] = self.both.our_outer
        self.both.peer.configure({"t": self.both.connection})
        self.clean_calls = 0

    def status(self):
        if not self.both.ours.process.is_running:
            raise LabError(f"detecd has ended:\n{self.both.ours.process.log[-3000:]}")
        return self.both.ours.status()

    def is_up(self):
        peer = self.both.ours.peer(interop.PEER)
        return peer is not None and peer["state"] == "up"

    def calm(self):
        """Faults are over, and so is what they have led to."""
        self.both.peer.impair()
        self.both.peer.terminate()
        if self.is_up():
            self.both.ours.detec(["hangup", "theirs"], check=False)
        wait_until(lambda: not self.is_up(), 5, "the tunnel is down")

    def call(self, we_call, seconds):
        if we_call:
            done = self.both.ours.detec(["call", "theirs", "--timeout", str(seconds)], check=False)
            return (done.stdout.strip().splitlines() or [""])[-1]
        self.both.peer.whack("--initiate --asynchronous --name t", check=False)
        with contextlib.suppress(LabError):  # what came of it, the caller judges
            wait_until(self.is_up, seconds, every=0.1)
        return ""

    def connect(self):
        """Without any fault, by both in turn."""
        self.clean_calls += 1
        we_call = self.clean_calls % 2 == 0
        for _ in range(3): # what the fault has left behind at its side may eat one call
            self.call(we_call, 8)
            if self.is_up() and self.both.ping_there(10, 0.2) >= 5: # in IKEv1 it may be up a little before it can be used
                return
            state = self.both.state() if self.is_up() else ""
            self.calm()
        raise LabError(f"{state}no clean call afterwards ({'ours' if we_call else 'its'}):\n{self.both.ours.process.log[-1500:]}\n"
                       f"{self.both.peer.log[-3000:]}")

    def inflict(self, fault):
        """What came of it, for both sides' calls: "up", or what detecd says."""
        came = []
        for we_call in (True, False):
            before, log = self.status(), len(self.both.ours.process.log)
            self.both.peer.impair(*fault.split())
            told = self.call(we_call, 2)
            status = self.status()
            ike = status["ike"] # half-open ones of IKEv2 are SAs, too
            if ike["half_open"] > HALF_OPEN_MAX or ike["sas"] - ike["half_open"] > SAS_MAX:
                raise LabError(f"{ike} are left")
            said = self.both.ours.process.log[log:].strip().splitlines()
            if self.is_up():
                came.append("up")
            elif said or told:
                came.append(said[-1] if said else told)
            elif status["drops"].get("stray-ike", 0) > before["drops"].get("stray-ike", 0):
                came.append("counted")
            else:
                came.append("nothing")
            self.calm()
        return came


def hostile(version, faults):
    def run(lab):
        pair = Hostile(lab, version)
        pair.connect()
        pair.calm()
        memory = pair.both.ours.memory_kib()
        silent, up = [], 0
        for fault in faults:
            try:
                came = pair.inflict(fault)
                pair.connect()
                pair.calm()
            except LabError as error:
                raise LabError(f"{fault}: {error}") from error
            silent += [f"{fault} ({way})" for way, what in zip(("we call", "it calls"), came) if what == "nothing"]
            up += came.count("up")
            print(f"    {fault}: {came}", file=sys.stderr, flush=True)
        wait_until(lambda: pair.status()["ike"]["half_open"] == 0, 60, lambda: f"half-open ones end: {pair.status()['ike']}")
        grown = pair.both.ours.memory_kib() - memory
        if grown > 8192:
            raise LabError(f"memory has grown by {grown} KiB")
        pair.connect()
        pair.both.check_data()
        return f"{len(faults)} faults, {up} of {2 * len(faults)} calls came up" + (f"; not a word of {', '.join(silent)}" if silent else "")
    return run


def rows(row, need_guest):
    def need():
        return need_guest() or pluto.missing()
    def side(we_call):
        return "we call" if we_call else "it calls"
    found = [row(NAME, f"IKEv{version}, {mode}, {side(ours)}, {nats} NATs", basic(version=version, mode=mode, we_call=ours, nats=nats), need)
             for version in (2, 1) for mode in ("tunnel", "transport") for ours in (True, False) for nats in (0, 1)]
    for one in found:
        if one.feature == "IKEv2, transport, we call, 1 NATs":
            one.known = "it refuses transport mode of who is behind a NAT: TS_UNACCEPTABLE"
    found += [row(NAME, f"NULL authentication, we call, {nats} NATs", basic(auth="null", nats=nats), need) for nats in (0, 1)]
    found += [row(NAME, "hostile by fault injection, IKEv2", hostile(2, FAULTS_2), need),
              row(NAME, "hostile by fault injection, IKEv1", hostile(1, FAULTS_1), need)]
    return found
