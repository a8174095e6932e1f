/* STUN messages from anyone: what is parsed lies inside the message, and so does what integrity
 * covers. */
#include "fuzz.h"

#include "wire/demux.h"
#include "wire/stun.h"

static void check_inside(const uint8_t *data, size_t len, const uint8_t *part, size_t part_len)
{
    if (part != NULL)
        must(part >= data && part_len <= len && part + part_len <= data + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t region[STUN_MESSAGE_CAP];
    struct stun_message m;
    const enum datagram_kind kind = datagram_classify(data, len);

    must(len >= 4 || kind == DATAGRAM_KEEPALIVE);
    if (stun_parse(data, len, &m) != 0)
        return 0;
    check_inside(data, len, m.username, m.username_len);
    check_inside(data, len, m.software, m.software_len);
    check_inside(data, len, m.reason, m.reason_len);
    if (m.has_integrity) {
        check_inside(data, len, m.integrity, STUN_INTEGRITY_LEN);
        must(m.integrity_offset + 4 + STUN_INTEGRITY_LEN <= len);
    }
    const int got = stun_integrity_region(data, &m, region, sizeof(region));
    must(got < 0 || (m.has_integrity && (size_t)got == m.integrity_offset));
    return 0;
}
