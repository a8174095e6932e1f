/* Each fragment is the header with another offset and length, and its part of the payload. */
#include "wire/ip_fragment.h"

#include "wire/checksum.h"
#include "wire/ip.h"

#define TOTAL_LEN_AT      2
#define FLAGS_AT          6
#define CHECKSUM_AT       10
#define MORE_FRAGMENTS    0x2000u
#define FRAGMENT_UNIT     8
#define ROOM_LEAST        FRAGMENT_UNIT
#define FRAGMENT_OFF_MASK 0x1fffu

int ip_fragment_begin(const uint8_t *packet, uint32_t len, uint32_t mtu,
                      struct ip_fragmenter *ret_fragmenter)
{
    struct ip_view v;
    const int error = ip_parse(packet, len, &v);
    if (error != ERR_OK)
        return error;
    if (v.version != 4 || v.dont_fragment || v.has_options || mtu < IP4_HEADER_LEN + ROOM_LEAST)
        return ERR_REFUSED;
    *ret_fragmenter = (struct ip_fragmenter){
        .packet = packet,
        .total_len = v.total_len,
        .at = IP4_HEADER_LEN,
        .room = (mtu - IP4_HEADER_LEN) / FRAGMENT_UNIT * FRAGMENT_UNIT,
    };
    return ERR_OK;
}

int ip_fragment_next(struct ip_fragmenter *f, struct writer *w)
{
    const uint32_t left = f->total_len - f->at;
    const uint32_t len = left < f->room ? left : f->room;
    const uint16_t before = (uint16_t)(f->packet[FLAGS_AT] << 8 | f->packet[FLAGS_AT + 1]);
    const size_t start = w->len;
    if (left == 0)
        return ERR_AGAIN;

    uint16_t flags =
        (uint16_t)((before & ~FRAGMENT_OFF_MASK) |
                   ((before & FRAGMENT_OFF_MASK) + (f->at - IP4_HEADER_LEN) / FRAGMENT_UNIT));
    if (len < left)
        flags |= MORE_FRAGMENTS;
    writer_bytes(w, f->packet, IP4_HEADER_LEN);
    writer_bytes(w, f->packet + f->at, len);
    writer_patch_u16(w, start + TOTAL_LEN_AT, (uint16_t)(IP4_HEADER_LEN + len));
    writer_patch_u16(w, start + FLAGS_AT, flags);
    writer_patch_u16(w, start + CHECKSUM_AT, 0);
    if (!writer_is_ok(w))
        return w->error;
    const uint32_t sum = checksum_add(0, w->base + start, IP4_HEADER_LEN);
    writer_patch_u16(w, start + CHECKSUM_AT, checksum_finish(sum));
    f->at += len;
    return w->error;
}
