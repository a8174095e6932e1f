"""The networks that most tests start from, with connector and resolver in place and the daemons ready to start."""
import programs

ZONE = "detec.example.net"
PLAIN_NAME, PLAIN_ADDRESS = "www.plain.test", "198.51.100.1"


class Calls:
    """Connector, resolver and two hosts, each behind what the test says.

    a ── LAN 10.0.1.0/24 ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN 10.0.2.0/24 ── b
                                                             │
                                           connector, resolver (their own segment: east)
    """

    def __init__(self, lab, nat_a=None, nat_b=None, neighbours=False, quality=None, zone=ZONE, connector_settings=None,
                 connector_quality="as the hosts'",
                 resolver=None, a=None, b=None):
        """nat_a, nat_b: options of Lab.nat, {"emulated": options of Lab.emulated_nat}, or "none" for a public host.

        a, b: settings of the hosts' detecd. quality: of the hosts' links and of the connector's ("delay" per hop, one way).
        """
        self.lab, self.net = lab, lab.internet()
        self.connector_node = lab.host("connector", self.net.east,
                                       quality=quality if connector_quality == "as the hosts'" else connector_quality)
        self.resolver_node = lab.host("resolver", self.net.east)
        self.connector = programs.Connector(self.connector_node, zone, **(connector_settings or {}))
        self.resolver = programs.Resolver(self.resolver_node, {zone: self.connector_node.address},
                                          {PLAIN_NAME: PLAIN_ADDRESS}, **(resolver or {}))
        self.nat_a = self.make_nat("nata", self.net.west, "10.0.1.0/24", nat_a, quality)
        self.nat_b = self.make_nat("natb", self.net.west if neighbours else self.net.east, "10.0.2.0/24", nat_b, quality)
        self.node_a = self.make_node("a", self.nat_a, self.net.west, quality)
        self.node_b = self.make_node("b", self.nat_b, self.net.east, quality)
        self.a = programs.Host(self.node_a, self.connector, f"a.{zone}", **(a or {}))
        self.b = programs.Host(self.node_b, self.connector, f"b.{zone}", **(b or {}))

    def make_nat(self, name, outside, lan, options, quality):
        if options == "none":
            return None
        if options == "shared":
            return self.nat_a
        options = dict(options or {})
        if "behind" in options:
            outer = {"lan": "100.64.0.0/24" if name == "nata" else "100.64.1.0/24", **(options.pop("behind") or {})}
            outside = self.make_nat(f"{name}out", outside, None, outer, quality).lan
            quality = None
        if "emulated" in options:
            return self.lab.emulated_nat(name, outside, quality=quality, **{"lan": lan, **options["emulated"]})
        return self.lab.nat(name, outside, quality=quality, **{"lan": lan, **options})

    def make_node(self, name, nat, public, quality):
        node = self.lab.host(name, nat.lan) if nat else self.lab.host(name, public, quality=quality)
        # A LAN without IPv6 has no way to the resolver's second address.
        node.use_resolver(*self.resolver.addresses[:2 if node.address6 else 1], options="timeout:3")
        return node

    def start(self, hosts=None, static=True, login_within=15):
        """Starts the connector, makes the hosts known to it, starts them and waits until they are logged in."""
        self.connector.start()
        for host in hosts or (self.a, self.b):
            if static:
                self.connector.add(host)
        started = [host.start(login=False) for host in hosts or (self.a, self.b)]
        for host in started:
            host.wait_login(login_within)
        return self

    def add_host(self, name, segment, quality=None, **settings):
        """One more host on this segment, not yet started."""
        node = self.lab.host(name, segment, quality=quality)
        node.use_resolver(*self.resolver.addresses[:2 if node.address6 else 1], options="timeout:3")
        return programs.Host(node, self.connector, f"{name}.{self.connector.zone}", **settings)

    def public_address(self, side):
        nat, node = (self.nat_a, self.node_a) if side == "a" else (self.nat_b, self.node_b)
        return nat.address if nat else node.address




class Zones:
    """Two zones, each with its own connector and host. Nobody of one zone has an account with the other.

    a (one.example) ── LAN ── nata ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── natb ── LAN ── b (two.example)
                                      │                              │
                             connector one, resolver           connector two
    """

    def __init__(self, lab, zones=("one.example", "two.example"), a=None, b=None, records=(), serve_two=True,
                 quality=None, quality_one=None):
        """a, b: settings of the hosts. records: more options of dnsmasq. serve_two: ask connector two about its zone.

        quality: of both NATs' links; quality_one: of connector one's.
        """
        self.lab, self.net = lab, lab.internet()
        self.node_one, self.node_two = lab.host("one", self.net.west, quality=quality_one), lab.host("two", self.net.east)
        self.one, self.two = programs.Connector(self.node_one, zones[0]), programs.Connector(self.node_two, zones[1])
        self.resolver_node = lab.host("resolver", self.net.west)
        servers = {zones[0]: self.node_one.address, **({zones[1]: self.node_two.address} if serve_two else {})}
        self.resolver = programs.Resolver(self.resolver_node, servers, options=records, cache=0)
        self.nat_a = lab.nat("nata", self.net.west, lan="10.0.1.0/24", quality=quality)
        self.nat_b = lab.nat("natb", self.net.east, lan="10.0.2.0/24", quality=quality)
        self.node_a, self.node_b = lab.host("a", self.nat_a.lan), lab.host("b", self.nat_b.lan)
        for node in (self.node_a, self.node_b):
            node.use_resolver(self.resolver.addresses[0], options="timeout:3")
        self.a = programs.Host(self.node_a, self.one, f"a.{zones[0]}", **(a or {}))
        self.b = programs.Host(self.node_b, self.two, f"b.{zones[1]}", **(b or {}))

    def start(self):
        self.one.start(), self.two.start()
        self.one.add(self.a), self.two.add(self.b)
        for host in (self.a, self.b):
            host.start(login=False)
        for host in (self.a, self.b):
            host.wait_login()
        return self
