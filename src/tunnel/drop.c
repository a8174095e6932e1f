/* Names and explanations of the reasons for dropping. */
#include "tunnel/drop.h"

#include <stddef.h>

static const struct {
    const char *name;
    const char *text;
} reasons[DROP_REASON_COUNT] = {
    [DROP_NONE] = {"none", "not dropped"},
    [DROP_MALFORMED] = {"malformed", "not a well-formed packet or command"},
    [DROP_FAMILY] = {"family", "the tunnel does not carry this IP version"},
    [DROP_SOURCE_ROUTE] = {"source-route", "asks for a source route"},
    [DROP_TINY_FRAGMENT] = {"tiny-fragment", "a fragment cuts through the transport header"},
    [DROP_NO_ROOM] = {"no-room", "too long for the suite or the packet buffer"},
    [DROP_CRYPTO] = {"crypto", "the crypto library failed"},
    [DROP_SOURCE] = {"source", "sent from another address than this host's tunnel address"},
    [DROP_DESTINATION] = {"destination", "sent to another address than the peer's"},
    [DROP_TOO_BIG] = {"too-big", "larger than the path carries"},
    [DROP_NO_PATH] = {"no-path", "no path to the peer yet"},
    [DROP_NO_CHILD] = {"no-child", "no keys for the tunnel yet"},
    [DROP_EXHAUSTED] = {"exhausted", "message numbers are used up and no new keys came"},
    [DROP_NEEDS_HEADER] =
        {"needs-header",
         "a fragment, or one with options, which the peer takes in tunnel mode only"},
    [DROP_NO_TUNNEL] = {"no-tunnel", "from an endpoint that no tunnel leads to"},
    [DROP_LENGTH] = {"length", "no message of this suite has this length or number"},
    [DROP_REPLAY] = {"replay", "its number was seen before or is too old"},
    [DROP_NOT_AUTHENTIC] = {"not-authentic", "not sealed with any key of the tunnel"},
    [DROP_COMMAND] = {"command", "a command that this version does not know"},
    [DROP_NEXT_HEADER] = {"next-header", "a next header that may only stand inside a whole packet"},
    [DROP_FOREIGN_ADDRESS] = {"foreign-address", "not from the peer's address to this host's"},
    [DROP_QUOTE] = {"quote", "an ICMP error about a packet that this host did not send"},
    [DROP_ROUTER_MESSAGE] = {"router-message", "a redirect or another message of routers"},
    [DROP_CONGESTION] = {"congestion", "congestion was marked and the packet cannot say so"},
    [DROP_DUMMY] = {"dummy", "empty on purpose: the peer hides its traffic among such"},
};

const char *drop_name(enum drop_reason reason)
{
    return (unsigned int)reason < DROP_REASON_COUNT ? reasons[reason].name : "unknown";
}

const char *drop_text(enum drop_reason reason)
{
    return (unsigned int)reason < DROP_REASON_COUNT ? reasons[reason].text : "unknown reason";
}
