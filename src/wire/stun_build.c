/* STUN messages, built. */
#include "wire/stun_build.h"

#include <string.h>

#include "wire/stun.h"

#define LENGTH_AT 2

void stun_build_begin(struct writer *w, enum stun_class class, uint16_t method,
                      const uint8_t transaction_id[STUN_TRANSACTION_LEN])
{
    if (w->len != 0 || method > 0xfff)
        writer_fail(w, ERR_INVALID);
    const unsigned class_bits = (class & 2u) << 7 | (class & 1u) << 4;
    const unsigned method_bits = (method & 0xf80u) << 2 | (method & 0x70u) << 1 | (method & 0xfu);
    writer_u16(w, (uint16_t)(class_bits | method_bits));
    writer_u16(w, 0);
    writer_u32(w, STUN_MAGIC_COOKIE);
    writer_bytes(w, transaction_id, STUN_TRANSACTION_LEN);
}

static void attribute_begin(struct writer *w, uint16_t type, size_t len)
{
    if (len > UINT16_MAX)
        writer_fail(w, ERR_FULL);
    writer_u16(w, type);
    writer_u16(w, (uint16_t)len);
}

static void attribute(struct writer *w, uint16_t type, const void *value, size_t len)
{
    attribute_begin(w, type, len);
    writer_bytes(w, value, len);
    writer_zero(w, (4 - len % 4) % 4);
}

void stun_build_username(struct writer *w, const void *username, size_t len)
{
    if (len > STUN_USERNAME_MAX)
        writer_fail(w, ERR_INVALID);
    attribute(w, STUN_USERNAME, username, len);
}

void stun_build_software(struct writer *w, const char *software)
{
    const size_t len = strlen(software);
    if (len > STUN_TEXT_MAX)
        writer_fail(w, ERR_INVALID);
    attribute(w, STUN_SOFTWARE, software, len);
}

static void address(struct writer *w, uint16_t type, const struct endpoint *endpoint, bool is_xored)
{
    uint8_t mask[16] = {0};
    const size_t len = address_len(&endpoint->address);
    if (len == 0 || w->len < STUN_HEADER_LEN)
        writer_fail(w, ERR_INVALID);
    if (!writer_is_ok(w))
        return;
    if (is_xored)
        memcpy(mask, w->base + 4, sizeof mask);
    attribute_begin(w, type, 4 + len);
    writer_u8(w, 0);
    writer_u8(w, len == 4 ? STUN_FAMILY_IPV4 : STUN_FAMILY_IPV6);
    writer_u16(w, endpoint->port ^ (uint16_t)(mask[0] << 8 | mask[1]));
    for (size_t i = 0; i < len; i++)
        writer_u8(w, endpoint->address.bytes[i] ^ mask[i]);
}

void stun_build_xor_mapped(struct writer *w, const struct endpoint *endpoint)
{
    address(w, STUN_XOR_MAPPED_ADDRESS, endpoint, true);
}

void stun_build_mapped(struct writer *w, const struct endpoint *endpoint)
{
    address(w, STUN_MAPPED_ADDRESS, endpoint, false);
}

void stun_build_priority(struct writer *w, uint32_t priority)
{
    attribute_begin(w, STUN_PRIORITY, 4);
    writer_u32(w, priority);
}

void stun_build_use_candidate(struct writer *w)
{
    attribute_begin(w, STUN_USE_CANDIDATE, 0);
}

void stun_build_ice_controlling(struct writer *w, uint64_t tie_breaker)
{
    attribute_begin(w, STUN_ICE_CONTROLLING, 8);
    writer_u64(w, tie_breaker);
}

void stun_build_ice_controlled(struct writer *w, uint64_t tie_breaker)
{
    attribute_begin(w, STUN_ICE_CONTROLLED, 8);
    writer_u64(w, tie_breaker);
}

void stun_build_error(struct writer *w, uint16_t code, const char *reason)
{
    const size_t len = strlen(reason);
    if (code < 300 || code > 699 || len > STUN_TEXT_MAX)
        writer_fail(w, ERR_INVALID);
    attribute_begin(w, STUN_ERROR_CODE, 4 + len);
    writer_u16(w, 0);
    writer_u8(w, (uint8_t)(code / 100));
    writer_u8(w, (uint8_t)(code % 100));
    writer_bytes(w, reason, len);
    writer_zero(w, (4 - len % 4) % 4);
}

void stun_build_unknown(struct writer *w, const uint16_t *types, size_t count)
{
    attribute_begin(w, STUN_UNKNOWN_ATTRIBUTES, count * 2);
    for (size_t i = 0; i < count; i++)
        writer_u16(w, types[i]);
    writer_zero(w, count % 2 * 2);
}

void stun_build_change_request(struct writer *w, bool change_address, bool change_port)
{
    attribute_begin(w, STUN_CHANGE_REQUEST, 4);
    writer_u32(w,
               (change_address ? STUN_CHANGE_ADDRESS : 0) | (change_port ? STUN_CHANGE_PORT : 0));
}

void stun_build_padding(struct writer *w, size_t len)
{
    if (len % 4 != 0)
        writer_fail(w, ERR_INVALID);
    attribute_begin(w, STUN_PADDING, len);
    writer_zero(w, len);
}

static void port(struct writer *w, uint16_t type, uint16_t value)
{
    if (value == 0)
        writer_fail(w, ERR_INVALID);
    attribute_begin(w, type, 4);
    writer_u16(w, value);
    writer_u16(w, 0);
}

void stun_build_response_port(struct writer *w, uint16_t response_port)
{
    port(w, STUN_RESPONSE_PORT, response_port);
}

void stun_build_other_port(struct writer *w, uint16_t other_port)
{
    port(w, STUN_OTHER_PORT, other_port);
}

void stun_build_response_origin(struct writer *w, const struct endpoint *endpoint)
{
    address(w, STUN_RESPONSE_ORIGIN, endpoint, false);
}

void stun_build_other_address(struct writer *w, const struct endpoint *endpoint)
{
    address(w, STUN_OTHER_ADDRESS, endpoint, false);
}

void stun_build_ticket(struct writer *w, const void *ticket, size_t len)
{
    if (len > STUN_TICKET_MAX)
        writer_fail(w, ERR_INVALID);
    attribute(w, STUN_TICKET, ticket, len);
}

/* The header's length as if `more` bytes followed what is written. */
static void set_length(struct writer *w, size_t more)
{
    if (w->len < STUN_HEADER_LEN || w->len + more - STUN_HEADER_LEN > UINT16_MAX)
        writer_fail(w, ERR_INVALID);
    else
        writer_patch_u16(w, LENGTH_AT, (uint16_t)(w->len + more - STUN_HEADER_LEN));
}

int stun_build_integrity_prepare(struct writer *w, const uint8_t **ret_region, size_t *ret_len)
{
    set_length(w, STUN_ATTRIBUTE_LEN + STUN_INTEGRITY_LEN);
    if (!writer_is_ok(w))
        return w->error;
    *ret_region = w->base;
    *ret_len = w->len;
    return ERR_OK;
}

void stun_build_integrity_finish(struct writer *w, const uint8_t mac[STUN_INTEGRITY_LEN])
{
    attribute(w, STUN_MESSAGE_INTEGRITY, mac, STUN_INTEGRITY_LEN);
}

void stun_build_fingerprint(struct writer *w)
{
    set_length(w, STUN_ATTRIBUTE_LEN + 4);
    const size_t len = w->len;
    attribute_begin(w, STUN_FINGERPRINT, 4);
    writer_u32(w, writer_is_ok(w) ? stun_crc32(w->base, len) ^ STUN_FINGERPRINT_XOR : 0);
}

int stun_build_end(struct writer *w)
{
    set_length(w, 0);
    return w->error;
}
