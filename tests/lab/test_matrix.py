"""The core of the matrix (matrix.py): what stands at the two ends, and what path a first contact ends in. scripts/matrix runs all.

    a ── line ── site of a ── west 198.51.100.0/24 ── net ── east 203.0.113.0/24 ── site of b ── line ── b
                                                         │
                                               connector, resolver

40 ms between the hosts and from each to the connector, one way.
"""
import pytest

import matrix
import matrix_world

DELAY = 40
FIRST_DIRECT, FIRST_RELAYED = 2.0, 2.0  # s from the look-up's answer to the first reply, at most
MOVED = 5.0  # s until the path is direct, also where the call went out before the host knew its NAT
KINDS = {kind.name: kind for kind in matrix.KINDS}
CORE = [
    ("port-restricted", "port-restricted", matrix.DIRECT),
    ("port taken", "firewall", matrix.DIRECT),
    ("double NAT", "carrier-grade", matrix.DIRECT),
    ("no filter", "other port", matrix.DIRECT),
    ("symmetric random", "address-restricted", matrix.DIRECT),
    ("symmetric random", "symmetric random", matrix.RELAY),
    ("IPv6 only", "public", matrix.RELAY),
    ("random, unfiltered", "random, unfiltered", matrix.RELAY),
    ("sequential, unfiltered", "sequential, unfiltered", matrix.DIRECT),
    ("symmetric sequential", "symmetric sequential", matrix.DIRECT),
    ("symmetric random", "port-restricted", matrix.DIRECT),
    ("UDP blocked", "public", matrix.RELAY),
    ("only TLS", "port-restricted", matrix.RELAY),
    ("HTTP proxy", "symmetric random", matrix.RELAY),
    ("IPv6 firewall", "IPv6 only", matrix.DIRECT),
    ("IPv6 firewall", "port-restricted", matrix.DIRECT),
    ("NAT64", "no filter", matrix.DIRECT),
    ("IPv6 broken", "port-restricted", matrix.DIRECT),
    ("symmetric, no relay", "symmetric random", matrix.REFUSED),
]


def check(result, expected):
    assert result.path == expected, result
    if expected != matrix.REFUSED:
        assert result.first_reply <= (FIRST_DIRECT if expected == matrix.DIRECT else FIRST_RELAYED), result
    if expected == matrix.DIRECT:
        assert result.direct_after <= MOVED, result


@pytest.mark.parametrize("x, y, expected", CORE, ids=[f"{x} x {y}".replace(",", "").replace(" ", "-") for x, y, _ in CORE])
def test_pairs(lab, x, y, expected):
    assert matrix.theory(KINDS[x], KINDS[y])[0] == expected
    check(matrix_world.run_pair(lab, KINDS[x], KINDS[y], DELAY), expected)


@pytest.mark.parametrize("together", matrix.TOGETHER, ids=lambda t: t.site.replace(" ", "-"))
def test_behind_the_same_router(lab, together):
    check(matrix_world.run_together(lab, together, DELAY), together.expected)


@pytest.mark.parametrize("name", ["10% lost", "doubled", "corrupted"])
def test_bad_lines(lab, name):
    weather = next(w for w in matrix.WEATHERS if w.name == name)
    result = matrix_world.run_weather(lab, weather, DELAY)
    assert result.path == matrix.DIRECT, result


def test_theory():
    """What a NAT's properties alone say of it, against pairs that anyone can think through; and it takes no sides."""
    for x, y in matrix.pairs():
        assert matrix.theory(x, y)[0] == matrix.theory(y, x)[0]
    for name in KINDS:  # who can be sent to without being asked first is reached by everybody with UDP
        if KINDS[name].has_udp and KINDS[name].has_ipv4:
            assert matrix.theory(KINDS["public"], KINDS[name])[0] == matrix.DIRECT
        assert matrix.theory(KINDS["UDP blocked"], KINDS[name])[0] == (matrix.RELAY if KINDS[name].relays else matrix.REFUSED)
    numbers = {number for group in (matrix.KINDS, matrix.TOGETHER, matrix.WEATHERS, matrix.QUIETS) for row in group for number in row.cases}
    assert numbers >= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23}
