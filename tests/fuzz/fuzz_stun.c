/* STUN messages from anyone: what is parsed lies inside the message, and so does what integrity
 * covers; and the connector's answers to them amplify nothing. */
#include "fuzz.h"

#include "path/binding.h"
#include "wire/demux.h"
#include "wire/stun.h"

static void check_inside(const uint8_t *data, size_t len, const uint8_t *part, size_t part_len)
{
    if (part != NULL)
        must(part >= data && part_len <= len && part + part_len <= data + len);
}

static void check_answer(const uint8_t *data, size_t len)
{
    static const uint8_t key[BINDING_TICKET_KEY_LEN];
    const struct endpoint from = {address_from_ipv4(0xc6336407), 5};
    const struct endpoint at = {address_from_ipv4(0xcb00710a), 4500};
    const struct binding_server server = {at, {address_from_ipv4(0xcb00710b), 4501}, key, 1000};
    uint8_t answer[BINDING_DISCOVERY_CAP];
    struct binding_route route;
    struct stun_message m;
    struct writer w;

    writer_init(&w, answer, sizeof(answer));
    if (binding_discover(data, len, &from, &server, &w, &route) != 0)
        return;
    must(stun_parse(answer, w.len, &m) == 0 && m.class != STUN_REQUEST);
    must(w.len <= len || w.len <= BINDING_ANSWER_CAP);
    must(route.port == 0); /* nobody guesses a ticket */
    must((!route.change_address && !route.change_port) || w.len <= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t region[STUN_MESSAGE_CAP];
    struct stun_message m;
    const enum datagram_kind kind = datagram_classify(data, len);

    must(len >= 4 || kind == DATAGRAM_KEEPALIVE);
    check_answer(data, len);
    if (stun_parse(data, len, &m) != 0)
        return 0;
    check_inside(data, len, m.ticket, m.ticket_len);
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
