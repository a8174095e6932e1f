/* STUN messages, parsed. */
#include "wire/stun.h"

#include <string.h>

#include "base/reader.h"
#include "wire/stun_build.h"

struct parse {
    struct stun_message *m;
    const uint8_t *start; /* of the message */
    size_t offset;        /* of the present attribute */
};

uint32_t stun_crc32(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* RFC 8489, 14.1 and 14.2: the port is masked by the cookie's start, the address by the cookie and
 * the transaction's number. */
static void take_address(struct reader *r, const uint8_t *mask, struct endpoint *ret_endpoint)
{
    reader_skip(r, 1);
    const uint8_t family = reader_u8(r);
    uint16_t port = reader_u16(r);
    const size_t len = family == STUN_FAMILY_IPV4 ? 4 : 16;
    uint8_t bytes[16];
    if (family != STUN_FAMILY_IPV4 && family != STUN_FAMILY_IPV6)
        reader_fail(r, ERR_INVALID);
    reader_copy(r, bytes, len);
    if (!reader_is_ok(r))
        return;
    if (mask != NULL) {
        port ^= (uint16_t)(mask[0] << 8 | mask[1]);
        for (size_t i = 0; i < len; i++)
            bytes[i] ^= mask[i];
    }
    ret_endpoint->address = address_from_bytes(len == 4 ? ADDRESS_IPV4 : ADDRESS_IPV6, bytes);
    ret_endpoint->port = port;
}

static void take_mapped(struct parse *p, struct reader *r)
{
    if (!p->m->has_mapped)
        take_address(r, NULL, &p->m->mapped);
    else
        reader_skip(r, reader_left(r));
    p->m->has_mapped = true;
}

static void take_xor_mapped(struct parse *p, struct reader *r)
{
    if (!p->m->has_xor_mapped)
        take_address(r, p->start + 4, &p->m->xor_mapped);
    else
        reader_skip(r, reader_left(r));
    p->m->has_xor_mapped = true;
}

static void take_bytes(struct reader *r, size_t max, const uint8_t **bytes, size_t *len)
{
    const size_t left = reader_left(r);
    const uint8_t *at = reader_bytes(r, left);
    if (left > max)
        reader_fail(r, ERR_INVALID);
    if (*bytes == NULL) {
        *bytes = at;
        *len = left;
    }
}

static void take_username(struct parse *p, struct reader *r)
{
    take_bytes(r, STUN_USERNAME_MAX, &p->m->username, &p->m->username_len);
}

static void take_software(struct parse *p, struct reader *r)
{
    take_bytes(r, STUN_TEXT_MAX, &p->m->software, &p->m->software_len);
}

static void take_error_code(struct parse *p, struct reader *r)
{
    reader_skip(r, 2);
    const unsigned class = reader_u8(r) & 7, number = reader_u8(r);
    if (class < 3 || class > 6 || number > 99)
        reader_fail(r, ERR_INVALID);
    if (p->m->error_code == 0 && reader_is_ok(r))
        p->m->error_code = (uint16_t)(class * 100 + number);
    take_bytes(r, STUN_TEXT_MAX, &p->m->reason, &p->m->reason_len);
}

static void take_integrity(struct parse *p, struct reader *r)
{
    p->m->integrity = reader_bytes(r, STUN_INTEGRITY_LEN);
    p->m->integrity_offset = p->offset;
    p->m->has_integrity = true;
}

static void take_priority(struct parse *p, struct reader *r)
{
    const uint32_t priority = reader_u32(r);
    if (!p->m->has_priority)
        p->m->priority = priority;
    p->m->has_priority = true;
}

static void take_use_candidate(struct parse *p, struct reader *r)
{
    p->m->use_candidate = true;
}

static void take_controlled(struct parse *p, struct reader *r)
{
    const uint64_t tie_breaker = reader_u64(r);
    if (!p->m->has_ice_controlled && !p->m->has_ice_controlling)
        p->m->tie_breaker = tie_breaker;
    p->m->has_ice_controlled = true;
}

static void take_controlling(struct parse *p, struct reader *r)
{
    const uint64_t tie_breaker = reader_u64(r);
    if (!p->m->has_ice_controlled && !p->m->has_ice_controlling)
        p->m->tie_breaker = tie_breaker;
    p->m->has_ice_controlling = true;
}

static void take_fingerprint(struct parse *p, struct reader *r)
{
    const uint32_t crc = reader_u32(r);
    p->m->has_fingerprint = true;
    p->m->is_fingerprint_right = crc == (stun_crc32(p->start, p->offset) ^ STUN_FINGERPRINT_XOR);
}

/* RFC 5780, 7.2: bit 0x4 asks for another address, 0x2 for another port. */
static void take_change_request(struct parse *p, struct reader *r)
{
    const uint32_t flags = reader_u32(r);
    if (!p->m->has_change_request) {
        p->m->change_address = (flags & STUN_CHANGE_ADDRESS) != 0;
        p->m->change_port = (flags & STUN_CHANGE_PORT) != 0;
    }
    p->m->has_change_request = true;
}

static void take_padding(struct parse *p, struct reader *r)
{
    reader_skip(r, reader_left(r));
    p->m->has_padding = true;
}

/* A port and two bytes that are reserved (RFC 5780, 7.5). */
static void take_port(struct reader *r, uint16_t *ret_port)
{
    const uint16_t port = reader_u16(r);
    reader_skip(r, 2);
    if (port == 0)
        reader_fail(r, ERR_INVALID);
    if (*ret_port == 0)
        *ret_port = port;
}

static void take_response_port(struct parse *p, struct reader *r)
{
    take_port(r, &p->m->response_port);
}

static void take_other_port(struct parse *p, struct reader *r)
{
    take_port(r, &p->m->other_port);
}

static void take_response_origin(struct parse *p, struct reader *r)
{
    if (!p->m->has_response_origin)
        take_address(r, NULL, &p->m->response_origin);
    else
        reader_skip(r, reader_left(r));
    p->m->has_response_origin = true;
}

static void take_other_address(struct parse *p, struct reader *r)
{
    if (!p->m->has_other_address)
        take_address(r, NULL, &p->m->other_address);
    else
        reader_skip(r, reader_left(r));
    p->m->has_other_address = true;
}

static void take_ticket(struct parse *p, struct reader *r)
{
    take_bytes(r, STUN_TICKET_MAX, &p->m->ticket, &p->m->ticket_len);
}

/* Known, of no use to short-term credentials. */
static void take_ignored(struct parse *p, struct reader *r)
{
    reader_skip(r, reader_left(r));
}

static const struct {
    uint16_t type;
    void (*take)(struct parse *p, struct reader *r);
    bool is_special; /* counted as unknown all the same: most do not understand it */
} attributes[] = {
    {STUN_MAPPED_ADDRESS, take_mapped, false},
    {STUN_CHANGE_REQUEST, take_change_request, true},
    {STUN_PADDING, take_padding, true},
    {STUN_RESPONSE_PORT, take_response_port, true},
    {STUN_RESPONSE_ORIGIN, take_response_origin, false},
    {STUN_OTHER_ADDRESS, take_other_address, false},
    {STUN_OTHER_PORT, take_other_port, false},
    {STUN_TICKET, take_ticket, false},
    {STUN_USERNAME, take_username, false},
    {STUN_MESSAGE_INTEGRITY, take_integrity, false},
    {STUN_ERROR_CODE, take_error_code, false},
    {STUN_UNKNOWN_ATTRIBUTES, take_ignored, false},
    {STUN_REALM, take_ignored, false},
    {STUN_NONCE, take_ignored, false},
    {STUN_XOR_MAPPED_ADDRESS, take_xor_mapped, false},
    {STUN_PRIORITY, take_priority, false},
    {STUN_USE_CANDIDATE, take_use_candidate, false},
    {STUN_SOFTWARE, take_software, false},
    {STUN_FINGERPRINT, take_fingerprint, false},
    {STUN_ICE_CONTROLLED, take_controlled, false},
    {STUN_ICE_CONTROLLING, take_controlling, false},
};

static void note_unknown(struct stun_message *m, uint16_t type)
{
    if (m->unknown_count < STUN_UNKNOWN_MAX)
        m->unknown[m->unknown_count] = type;
    m->unknown_count++;
}

/* Reads one value, which must be used up: every length is exact. */
static int take_attribute(struct parse *p, uint16_t type, struct reader *value)
{
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        if (attributes[i].type != type)
            continue;
        attributes[i].take(p, value);
        if (attributes[i].is_special)
            note_unknown(p->m, type);
        return reader_is_ok(value) && reader_left(value) == 0 ? ERR_OK : ERR_INVALID;
    }
    if (type < 0x8000)
        note_unknown(p->m, type);
    return ERR_OK;
}

static int parse_attributes(struct parse *p, struct reader *r)
{
    while (reader_left(r) > 0) {
        if (p->m->has_fingerprint)
            return ERR_INVALID; /* it is the last (14.7) */
        p->offset = reader_offset(r);
        const uint16_t type = reader_u16(r), len = reader_u16(r);
        struct reader value = reader_sub(r, len);
        reader_skip(r, (4 - len % 4u) % 4); /* padding, of any content (14) */
        if (!reader_is_ok(r))
            return ERR_INVALID;
        if (p->m->has_integrity && type != STUN_FINGERPRINT)
            continue;
        int error = take_attribute(p, type, &value);
        if (error != ERR_OK)
            return error;
    }
    return ERR_OK;
}

int stun_parse(const void *message, size_t len, struct stun_message *ret_message)
{
    struct stun_message m = {0};
    struct reader r;
    reader_init(&r, message, len);
    const uint16_t type = reader_u16(&r), body_len = reader_u16(&r);
    const uint32_t cookie = reader_u32(&r);
    reader_copy(&r, m.transaction_id, sizeof m.transaction_id);
    if (!reader_is_ok(&r))
        return ERR_TRUNCATED;
    if (type >> 14 != 0 || cookie != STUN_MAGIC_COOKIE || body_len % 4 != 0)
        return ERR_INVALID;
    if (body_len != reader_left(&r))
        return body_len > reader_left(&r) ? ERR_TRUNCATED : ERR_INVALID;
    /* RFC 8489, 5: the class bits stand among the method's. */
    m.class = (uint8_t)((type >> 7 & 2) | (type >> 4 & 1));
    m.method = (uint16_t)((type >> 2 & 0xf80) | (type >> 1 & 0x70) | (type & 0xf));

    struct parse p = {.m = &m, .start = message};
    int error = parse_attributes(&p, &r);
    if (error == ERR_OK)
        *ret_message = m;
    return error;
}

int stun_integrity_region(const void *message, const struct stun_message *parsed,
                          uint8_t *ret_region, size_t cap)
{
    if (!parsed->has_integrity)
        return ERR_NOT_FOUND;
    const size_t len = parsed->integrity_offset;
    if (len > cap)
        return ERR_FULL;
    memcpy(ret_region, message, len);
    const size_t body_len = len + STUN_ATTRIBUTE_LEN + STUN_INTEGRITY_LEN - STUN_HEADER_LEN;
    ret_region[2] = (uint8_t)(body_len >> 8);
    ret_region[3] = (uint8_t)body_len;
    return (int)len;
}
