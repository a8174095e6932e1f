/* Tells IKE, STUN and data apart on one UDP port. */
#include "wire/demux.h"

#include <string.h>

enum datagram_kind datagram_classify(const uint8_t *datagram, size_t len)
{
    static const uint8_t marker[DEMUX_MARKER_LEN];
    static const uint8_t magic_cookie[4] = {0x21, 0x12, 0xa4, 0x42};
    if (len < DEMUX_MARKER_LEN)
        return DATAGRAM_KEEPALIVE;
    if (memcmp(datagram, marker, sizeof marker) == 0)
        return DATAGRAM_IKE;
    if (len >= DEMUX_STUN_LEN_MIN && datagram[0] <= 1 &&
        memcmp(datagram + 4, magic_cookie, sizeof magic_cookie) == 0)
        return DATAGRAM_STUN_MAYBE;
    return DATAGRAM_DATA;
}
