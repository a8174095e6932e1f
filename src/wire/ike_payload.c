/* Bodies of IKEv2 payloads (RFC 7296, 3.4 to 3.13); see wire/ike_payload.h. */
#include "wire/ike_payload.h"

#define TS_IPV4_ADDR_RANGE 7
#define TS_IPV6_ADDR_RANGE 8
#define TS_HEADER_LEN      8 /* of one selector, before its addresses */

int ike_ke_parse(const uint8_t *body, size_t len, struct ike_ke *ret_ke)
{
    struct reader r;

    reader_init(&r, body, len);
    struct ike_ke ke = {.group = reader_u16(&r)};
    reader_skip(&r, 2);
    ke.len = reader_left(&r);
    ke.data = reader_bytes(&r, ke.len);
    if (!reader_is_ok(&r))
        return r.error;
    *ret_ke = ke;
    return ERR_OK;
}

/* A type byte, reserved bytes, then data: ID, CERT and AUTH alike. */
static int parse_typed(const uint8_t *body, size_t len, size_t reserved, uint8_t *ret_type,
                       const uint8_t **ret_data, size_t *ret_len)
{
    struct reader r;

    reader_init(&r, body, len);
    uint8_t type = reader_u8(&r);
    reader_skip(&r, reserved);
    size_t data_len = reader_left(&r);
    const uint8_t *data = reader_bytes(&r, data_len);
    if (!reader_is_ok(&r))
        return r.error;
    *ret_type = type;
    *ret_data = data;
    *ret_len = data_len;
    return ERR_OK;
}

int ike_id_parse(const uint8_t *body, size_t len, struct ike_id *ret_id)
{
    return parse_typed(body, len, 3, &ret_id->type, &ret_id->data, &ret_id->len);
}

int ike_cert_parse(const uint8_t *body, size_t len, struct ike_cert *ret_cert)
{
    return parse_typed(body, len, 0, &ret_cert->encoding, &ret_cert->data, &ret_cert->len);
}

int ike_auth_parse(const uint8_t *body, size_t len, struct ike_auth *ret_auth)
{
    return parse_typed(body, len, 3, &ret_auth->method, &ret_auth->data, &ret_auth->len);
}

int ike_notify_parse(const uint8_t *body, size_t len, struct ike_notify *ret_notify)
{
    struct reader r;
    struct ike_notify n;

    reader_init(&r, body, len);
    n.protocol = reader_u8(&r);
    n.spi_len = reader_u8(&r);
    n.type = reader_u16(&r);
    n.spi = reader_bytes(&r, n.spi_len);
    n.len = reader_left(&r);
    n.data = reader_bytes(&r, n.len);
    if (!reader_is_ok(&r))
        return r.error;
    *ret_notify = n;
    return ERR_OK;
}

int ike_delete_parse(const uint8_t *body, size_t len, struct ike_delete *ret_delete)
{
    struct reader r;
    struct ike_delete d;

    reader_init(&r, body, len);
    d.protocol = reader_u8(&r);
    d.spi_len = reader_u8(&r);
    d.count = reader_u16(&r);
    d.spis = reader_bytes(&r, (size_t)d.spi_len * d.count);
    if (reader_left(&r) != 0)
        reader_fail(&r, ERR_INVALID);
    /* RFC 7296, 3.11: the IKE SA is deleted without a SPI, children by theirs. */
    bool is_ike = d.protocol == IKE_PROTOCOL_IKE;
    if (reader_is_ok(&r) && is_ike != (d.spi_len == 0))
        reader_fail(&r, ERR_INVALID);
    if (!reader_is_ok(&r))
        return r.error;
    *ret_delete = d;
    return ERR_OK;
}

/* ret_is_known: whether ret_selector was filled in. */
static int parse_selector(struct reader *r, struct ike_selector *ret_selector, bool *ret_is_known)
{
    uint8_t type = reader_u8(r);
    uint8_t protocol = reader_u8(r);
    uint16_t length = reader_u16(r);
    if (reader_is_ok(r) && length < TS_HEADER_LEN)
        reader_fail(r, ERR_INVALID);
    struct reader sub = reader_sub(r, reader_is_ok(r) ? (size_t)length - 4 : 0);
    if (!reader_is_ok(r))
        return r->error;
    *ret_is_known = type == TS_IPV4_ADDR_RANGE || type == TS_IPV6_ADDR_RANGE;
    if (!*ret_is_known)
        return ERR_OK;
    size_t bytes_len = type == TS_IPV4_ADDR_RANGE ? 4 : 16;
    enum address_family family = type == TS_IPV4_ADDR_RANGE ? ADDRESS_IPV4 : ADDRESS_IPV6;
    struct ike_selector s = {.protocol = protocol};
    s.port_first = reader_u16(&sub);
    s.port_last = reader_u16(&sub);
    const uint8_t *first = reader_bytes(&sub, bytes_len);
    const uint8_t *last = reader_bytes(&sub, bytes_len);
    if (!reader_is_ok(&sub) || reader_left(&sub) != 0) {
        reader_fail(r, ERR_INVALID);
        return r->error;
    }
    s.first = address_from_bytes(family, first);
    s.last = address_from_bytes(family, last);
    *ret_selector = s;
    return ERR_OK;
}

int ike_ts_parse(const uint8_t *body, size_t len, struct ike_selector *ret_selectors, size_t cap,
                 size_t *ret_count)
{
    struct reader r;
    size_t known = 0;

    reader_init(&r, body, len);
    size_t count = reader_u8(&r);
    reader_skip(&r, 3);
    for (size_t i = 0; i < count; i++) {
        struct ike_selector s;
        bool is_known;
        int error = parse_selector(&r, &s, &is_known);
        if (error != ERR_OK)
            return error;
        if (is_known && known < cap)
            ret_selectors[known++] = s;
    }
    if (reader_is_ok(&r) && (count == 0 || reader_left(&r) != 0))
        reader_fail(&r, ERR_INVALID);
    if (!reader_is_ok(&r))
        return r.error;
    *ret_count = known;
    return ERR_OK;
}

void ike_build_ke(struct ike_builder *b, uint16_t group, const void *data, size_t len)
{
    ike_build_payload(b, IKE_PAYLOAD_KE);
    writer_u16(b->w, group);
    writer_u16(b->w, 0);
    writer_bytes(b->w, data, len);
}

void ike_build_id(struct ike_builder *b, enum ike_payload_type type, uint8_t id_type,
                  const void *data, size_t len)
{
    ike_build_payload(b, type);
    writer_u8(b->w, id_type);
    writer_zero(b->w, 3);
    writer_bytes(b->w, data, len);
}

void ike_build_cert(struct ike_builder *b, enum ike_payload_type type, uint8_t encoding,
                    const void *data, size_t len)
{
    ike_build_payload(b, type);
    writer_u8(b->w, encoding);
    writer_bytes(b->w, data, len);
}

void ike_build_auth(struct ike_builder *b, uint8_t method, const void *data, size_t len)
{
    ike_build_payload(b, IKE_PAYLOAD_AUTH);
    writer_u8(b->w, method);
    writer_zero(b->w, 3);
    writer_bytes(b->w, data, len);
}

void ike_build_nonce(struct ike_builder *b, const void *data, size_t len)
{
    ike_build_payload(b, IKE_PAYLOAD_NONCE);
    writer_bytes(b->w, data, len);
}

void ike_build_notify(struct ike_builder *b, uint16_t type, const void *data, size_t len)
{
    ike_build_payload(b, IKE_PAYLOAD_NOTIFY);
    writer_u8(b->w, IKE_PROTOCOL_NONE);
    writer_u8(b->w, 0);
    writer_u16(b->w, type);
    writer_bytes(b->w, data, len);
}

void ike_build_child_notify(struct ike_builder *b, uint16_t type, uint8_t protocol, uint32_t spi)
{
    ike_build_payload(b, IKE_PAYLOAD_NOTIFY);
    writer_u8(b->w, protocol);
    writer_u8(b->w, 4);
    writer_u16(b->w, type);
    writer_u32(b->w, spi);
}

void ike_build_delete_ike(struct ike_builder *b)
{
    ike_build_payload(b, IKE_PAYLOAD_DELETE);
    writer_u8(b->w, IKE_PROTOCOL_IKE);
    writer_u8(b->w, 0);
    writer_u16(b->w, 0);
}

void ike_build_delete_children(struct ike_builder *b, uint8_t protocol, const uint32_t *spis,
                               uint16_t count)
{
    ike_build_payload(b, IKE_PAYLOAD_DELETE);
    writer_u8(b->w, protocol);
    writer_u8(b->w, 4);
    writer_u16(b->w, count);
    for (size_t i = 0; i < count; i++)
        writer_u32(b->w, spis[i]);
}

void ike_build_ts(struct ike_builder *b, enum ike_payload_type type,
                  const struct ike_selector *selectors, uint8_t count)
{
    ike_build_payload(b, type);
    writer_u8(b->w, count);
    writer_zero(b->w, 3);
    for (size_t i = 0; i < count; i++) {
        const struct ike_selector *s = &selectors[i];
        bool is_ipv4 = s->first.family == ADDRESS_IPV4;
        size_t len = address_len(&s->first);
        writer_u8(b->w, is_ipv4 ? TS_IPV4_ADDR_RANGE : TS_IPV6_ADDR_RANGE);
        writer_u8(b->w, s->protocol);
        writer_u16(b->w, (uint16_t)(TS_HEADER_LEN + 2 * len));
        writer_u16(b->w, s->port_first);
        writer_u16(b->w, s->port_last);
        writer_bytes(b->w, s->first.bytes, len);
        writer_bytes(b->w, s->last.bytes, len);
    }
}
