"""What hosts may stand behind, and what a call between any two of them has to end in: direct, relay or refused.

The theory, written down before any result was looked at, knows nothing of the programs. It asks what two NATs can let
through at all, from the way they map ports and filter packets (RFC 4787's words). A *path* is one pair of endpoints that
both hosts use in both directions; so what is needed is an endpoint of each, as the other's side sees it, and that each
NAT lets the other's packets in to it.

The networks themselves are made in matrix_world.py, the runs by scripts/matrix and test_matrix.py.
"""
import dataclasses

DIRECT, RELAY, REFUSED = "direct", "relay", "refused"
# No path can be counted on, and one can come about by chance: the relay, or a direct path where it has.
CHANCE = "relay or direct"

# How a NAT maps one inner socket: to one outer endpoint (independent: of the destination), to one for each destination
# address, or to one for each destination address and port; and what the ports of the latter are like.
INDEPENDENT, BY_ADDRESS, RANDOM, SEQUENTIAL = "independent", "by address", "random", "sequential"
# From whom it lets packets in to a mapping: from everybody, from addresses it has sent to, from endpoints it has sent to.
ANYBODY, ADDRESS, ENDPOINT = "anybody", "address", "endpoint"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What one host stands behind. site: how the lab makes it (matrix_world.py)."""

    name: str
    cases: tuple  # numbers of the list in docs/testing.md
    text: str
    site: dict
    mapping: str = INDEPENDENT  # also where nothing is translated
    filtering: str = ENDPOINT
    has_udp: bool = True
    has_ipv4: bool = True  # an own address or one behind a NAT, and a way to IPv4 hosts
    has_ipv6: bool = False  # a working one, filtered or not: no NAT changes ports there
    has_tcp: bool = True  # whether the connector is reached at all
    relays: bool = True  # whether this host uses the connector's relay
    settings: dict = dataclasses.field(default_factory=dict)  # of its detecd

    @property
    def family(self):
        """The name of those that are alike, for a table that fits a page."""
        if not self.has_ipv4:
            return "IPv6 only"
        if not self.has_udp:
            return "UDP blocked"
        if "nat64" in self.site:
            return "NAT64"
        if self.has_ipv6:
            return "IPv6, and symmetric"
        if self.mapping == INDEPENDENT:
            return "independent, by port" if self.filtering == ENDPOINT else "independent, easier"
        return "symmetric, in order" if self.mapping == SEQUENTIAL else "symmetric, random"


def _kernel(**options):
    return {"nat": options}


def _emulated(mapping, filtering, **options):
    return {"nat": {"emulated": {"mapping": mapping, "filtering": filtering, **options}}}


KINDS = [
    Kind("public", (1,), "an address of its own, nothing in between", {"nat": "none"}, filtering=ANYBODY),
    Kind("firewall", (1,), "an address of its own behind a stateful IPv4 firewall", {"firewall": 4}),
    Kind("full cone", (2,), "kernel NAT, everything to the mapping let in", _kernel(kind="full-cone"), filtering=ANYBODY),
    Kind("address-restricted", (3,), "lets in addresses that were sent to", _emulated("ei", "ad"), filtering=ADDRESS),
    Kind("port-restricted", (4,), "kernel MASQUERADE, strangers dropped", _kernel()),
    Kind("no filter", (4,), "kernel MASQUERADE on a router without any filter", _kernel(unsolicited="accept")),
    Kind("other port", (4,), "independent mapping to a port that is not the host's", _emulated("ei", "apd", ports="random")),
    Kind("symmetric random", (5, 7), "kernel MASQUERADE --random-fully", _kernel(kind="symmetric"), mapping=RANDOM),
    Kind("random, address-filtered", (5, 7), "another random port for each destination; filter by address",
         _emulated("apd", "ad", ports="random"), mapping=RANDOM, filtering=ADDRESS),
    Kind("random, unfiltered", (5, 7), "another random port for each destination; lets everybody in",
         _emulated("apd", "ei", ports="random"), mapping=RANDOM, filtering=ANYBODY),
    Kind("symmetric sequential", (6, 7), "the next port for each destination", _emulated("apd", "apd", ports="sequential"),
         mapping=SEQUENTIAL),
    Kind("sequential, unfiltered", (6, 7), "the next port for each destination; lets everybody in",
         _emulated("apd", "ei", ports="sequential"), mapping=SEQUENTIAL, filtering=ANYBODY),
    Kind("by address", (5, 7), "a random port for each destination address; filter by address",
         _emulated("ad", "ad", ports="random"), mapping=BY_ADDRESS, filtering=ADDRESS),
    Kind("double NAT", (11,), "a port-restricted NAT behind another", {"nat": {"behind": {}}}),
    Kind("carrier-grade", (12,), "a home router in 100.64.0.0/10, behind a NAT with three addresses", {"carrier": 3}),
    Kind("port taken", (13,), "a neighbour behind the same NAT has the port already", {"nat": {}, "taken": True}),
    Kind("UDP blocked", (17,), "only TCP and DNS get out", {"nat": {}, "allowed": "tcp"}, has_udp=False),
    Kind("only TCP 443", (18,), "nothing but DNS and TCP to port 443 gets out", {"nat": {}, "allowed": "443"}, has_udp=False),
    Kind("only TLS", (18,), "the same, and what is not TLS is swallowed", {"nat": {}, "allowed": "tls"}, has_udp=False),
    Kind("HTTP proxy", (18,), "an HTTP proxy is the only way out", {"nat": {}, "allowed": "proxy"}, has_udp=False),
    Kind("IPv6 firewall", (19,), "symmetric for IPv4; IPv6 behind a stateful firewall", {"nat": {"kind": "symmetric"}, "ipv6": "firewall"},
         mapping=RANDOM, has_ipv6=True),
    Kind("IPv6 only", (19, 20), "no IPv4; IPv6 behind a stateful firewall", {"nat": {}, "ipv6": "only"}, has_ipv4=False, has_ipv6=True),
    Kind("NAT64", (20,), "IPv6 only; IPv4 through NAT64 and DNS64", {"nat64": "64:ff9b::/96"}, has_ipv6=True),
    Kind("IPv6 broken", (21,), "port-restricted; IPv6 addresses and routes that lead nowhere", {"nat": {}, "ipv6": "broken"}),
    Kind("symmetric, no relay", (7,), "symmetric random, with `relay = no`", _kernel(kind="symmetric"), mapping=RANDOM,
         relays=False, settings={"relay": "no"}),
]


def netcheck(kind):
    """(mapping, filtering, order of ports or None where it does not show) as `detec netcheck` has to call them (RFC 5780)."""
    if not kind.has_udp:
        return "unknown", "unknown", None
    filtering = {ANYBODY: "endpoint-independent", ADDRESS: "address-dependent", ENDPOINT: "address-and-port-dependent"}[kind.filtering]
    if not kind.has_ipv4 or "firewall" in kind.site or kind.site.get("nat") == "none":
        return "none", filtering, "preserved"
    mapping = {INDEPENDENT: "endpoint-independent", BY_ADDRESS: "address-dependent"}.get(kind.mapping, "address-and-port-dependent")
    return mapping, filtering, {RANDOM: "random", BY_ADDRESS: "random", SEQUENTIAL: "sequential"}.get(kind.mapping)


FAMILIES = {  # what README says of them
    "independent, easier": "one port for all; the filter asks for the address at most (public hosts, full cones, address-restricted)",
    "independent, by port": "one port for all; who is let in has been sent to (port-restricted, firewalls, double and carrier-grade NAT)",
    "symmetric, in order": "the next port for each destination, with and without a filter",
    "symmetric, random": "a random port for each destination, or destination address, with and without a filter",
    "IPv6, and symmetric": "the same for IPv4; IPv6 through a stateful firewall",
    "IPv6 only": "IPv6 through a stateful firewall, no IPv4",
    "NAT64": "IPv6, and IPv4 through NAT64",
    "UDP blocked": "TCP alone, only port 443, only TLS on it, or an HTTP proxy",
}


def direct_over_ipv4(x, y):
    """Why two sides can have a direct path over IPv4 and UDP; None: they cannot."""
    if not (x.has_udp and y.has_udp and x.has_ipv4 and y.has_ipv4):
        return None
    if x.mapping == y.mapping == INDEPENDENT:
        # The connector sees the one endpoint of each; each sends to the other's, which opens its own filter.
        return "both endpoints are known"
    for easy, hard in ((x, y), (y, x)):
        if easy.mapping != INDEPENDENT:
            continue
        if easy.filtering != ENDPOINT:
            # The hard side's packet comes from a port that nobody knew, and is let in all the same.
            return "the easy side's filter does not ask for the port"
        if hard.mapping == SEQUENTIAL:
            return "the port is predicted"
        # Enough sockets of the hard side towards the one known endpoint, enough probes of the other to ports of the one
        # known address: some pair meets.
        return "the port is found by chance"
    if x.mapping == y.mapping == SEQUENTIAL:
        return "both ports are predicted"
    for one, other in ((x, y), (y, x)):
        # The endpoint towards the connector lets everybody in. `one` has one port towards all of other's: its packet to
        # there tells it, the answer comes from a new port of other's, and is let in where `one` filters by address; from
        # then on both endpoints stay.
        if one.mapping == BY_ADDRESS and one.filtering != ENDPOINT and other.filtering == ANYBODY:
            return "one port for all of the peer's, and the peer lets in whoever comes first"
        if one.mapping == BY_ADDRESS and one.filtering == ANYBODY and other.filtering != ENDPOINT:
            return "one port for all of the peer's, that lets the peer in first"
    # Each packet to a new endpoint of the other's leaves from a new, unknown port of one's own: no two ever agree.
    return None


def may_meet(x, y):
    """Whether two sides with unknown ports could find each other all the same: one has one port for all of the peer's, and a
    packet of the peer's that happens to hit it is let in, shows where it came from, and is answered from that very port.
    """
    return x.has_udp and y.has_udp and x.has_ipv4 and y.has_ipv4 and any(
        one.mapping == BY_ADDRESS and one.filtering != ENDPOINT for one in (x, y))


def is_as_expected(expected, path):
    return path == expected or expected == CHANCE and path in (RELAY, DIRECT)


def theory(x, y):
    """(DIRECT, RELAY, CHANCE or REFUSED, why) of a call between hosts behind x and y."""
    if not (x.has_tcp and y.has_tcp):
        return REFUSED, "one of them reaches no connector: nobody knows it"
    if x.has_ipv6 and y.has_ipv6 and x.has_udp and y.has_udp:
        # Ports are nobody's business over IPv6: a firewall is opened by sending through it.
        return DIRECT, "IPv6 at both ends"
    why = direct_over_ipv4(x, y)
    if why:
        return DIRECT, why
    if x.relays and y.relays and may_meet(x, y):
        return CHANCE, "both ports are unknown, one of them is the same for all of the peer's"
    if not (x.relays and y.relays):
        return REFUSED, "no direct path, and the relay is switched off"
    return RELAY, "no direct path, and both reach the connector"


@dataclasses.dataclass(frozen=True)
class Together:
    """Two hosts behind the same router."""

    name: str
    cases: tuple
    text: str
    expected: str
    why: str
    site: str


TOGETHER = [
    Together("same LAN", (10,), "two hosts of one LAN", DIRECT, "their own addresses reach each other", "lan"),
    Together("same NAT, hairpin", (8,), "two home routers behind one carrier's NAT, which turns packets back", DIRECT,
             "each other's outer endpoints work from inside too", "hairpin"),
    Together("same NAT, no hairpin", (9,), "the same, but it drops what is for its own address", RELAY,
             "the outer endpoints are dead from inside, and nobody knows the inner ones", "no hairpin"),
]


@dataclasses.dataclass(frozen=True)
class Weather:
    """A bad network on both hosts' lines, behind port-restricted NATs."""

    name: str
    cases: tuple
    quality: dict  # of each line, each direction
    narrow: int = None  # packets longer than this vanish without a word
    bulk: int = 300_000  # bytes that have to get through afterwards


WEATHERS = [
    Weather("1% lost", (23,), {"loss": 0.01}),
    Weather("10% lost", (23,), {"loss": 0.10}),
    Weather("30% lost", (23,), {"loss": 0.30}, bulk=0),
    Weather("reordered", (23,), {"reorder": 0.2, "reorder-by": 30}),
    Weather("doubled", (23,), {"duplicate": 0.3}),
    Weather("corrupted", (23,), {"corrupt": 0.05}),
    Weather("750 ms later", (23,), {"delay": 375}, bulk=20_000),
    Weather("MTU 1280, silent", (22,), {}, narrow=1280),
    Weather("MTU 1124, silent", (22,), {}, narrow=1124),
]


@dataclasses.dataclass(frozen=True)
class Quiet:
    """Two NATs that soon forget, and a tunnel that nobody uses for more than a minute."""

    name: str
    cases: tuple
    lifetime_s: int
    inbound_refreshes: bool = True


QUIETS = [
    Quiet("mappings last 30 s", (14,), 30),
    Quiet("mappings last 20 s", (14,), 20),
    Quiet("20 s, only packets from inside count", (14, 15), 20, False),
]


def pairs(kinds=None):
    """Every unordered pair of kinds, each with itself too."""
    kinds = KINDS if kinds is None else kinds
    return [(x, y) for i, x in enumerate(kinds) for y in kinds[:i + 1]]
