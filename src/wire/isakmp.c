/* IKEv1's payloads; see wire/isakmp.h. */
#include "wire/isakmp.h"

#define DOI_ISAKMP 0
#define DOI_IPSEC  1

const char *isakmp_notify_name(uint16_t type)
{
    static const char *const names[] = {
        NULL,
        "INVALID-PAYLOAD-TYPE",
        "DOI-NOT-SUPPORTED",
        "SITUATION-NOT-SUPPORTED",
        "INVALID-COOKIE",
        "INVALID-MAJOR-VERSION",
        "INVALID-MINOR-VERSION",
        "INVALID-EXCHANGE-TYPE",
        "INVALID-FLAGS",
        "INVALID-MESSAGE-ID",
        "INVALID-PROTOCOL-ID",
        "INVALID-SPI",
        "INVALID-TRANSFORM-ID",
        "ATTRIBUTES-NOT-SUPPORTED",
        "NO-PROPOSAL-CHOSEN",
        "BAD-PROPOSAL-SYNTAX",
        "PAYLOAD-MALFORMED",
        "INVALID-KEY-INFORMATION",
        "INVALID-ID-INFORMATION",
        "INVALID-CERT-ENCODING",
        "INVALID-CERTIFICATE",
        "CERT-TYPE-UNSUPPORTED",
        "INVALID-CERT-AUTHORITY",
        "INVALID-HASH-INFORMATION",
        "AUTHENTICATION-FAILED",
        "INVALID-SIGNATURE",
        "ADDRESS-NOTIFICATION",
        "NOTIFY-SA-LIFETIME",
        "CERTIFICATE-UNAVAILABLE",
        "UNSUPPORTED-EXCHANGE-TYPE",
        "UNEQUAL-PAYLOAD-LENGTHS",
    };
    if (type < sizeof(names) / sizeof(names[0]))
        return names[type];
    switch (type) {
    case ISAKMP_NOTIFY_INITIAL_CONTACT:
        return "INITIAL-CONTACT";
    case ISAKMP_NOTIFY_R_U_THERE:
        return "R-U-THERE";
    case ISAKMP_NOTIFY_R_U_THERE_ACK:
        return "R-U-THERE-ACK";
    default:
        return NULL;
    }
}

/* Each the MD5 of its document's name, as RFC 3947, 3.1 says; DPD's is arbitrary, its last two
 * bytes being a version (RFC 3706, 5.1). */
static const uint8_t vendors[ISAKMP_VENDOR_COUNT][ISAKMP_VENDOR_LEN] = {
    [ISAKMP_VENDOR_NATT_RFC] = {0x4a, 0x13, 0x1c, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5c, 0x57, 0x28,
                                0xf2, 0x0e, 0x95, 0x45, 0x2f},
    [ISAKMP_VENDOR_NATT_DRAFT_03] = {0x7d, 0x94, 0x19, 0xa6, 0x53, 0x10, 0xca, 0x6f, 0x2c, 0x17,
                                     0x9d, 0x92, 0x15, 0x52, 0x9d, 0x56},
    [ISAKMP_VENDOR_NATT_DRAFT_02] = {0x90, 0xcb, 0x80, 0x91, 0x3e, 0xbb, 0x69, 0x6e, 0x08, 0x63,
                                     0x81, 0xb5, 0xec, 0x42, 0x7b, 0x1f},
    [ISAKMP_VENDOR_NATT_DRAFT_02N] = {0xcd, 0x60, 0x46, 0x43, 0x35, 0xdf, 0x21, 0xf8, 0x7c, 0xfd,
                                      0xb2, 0xfc, 0x68, 0xb6, 0xa4, 0x48},
    [ISAKMP_VENDOR_DPD] = {0xaf, 0xca, 0xd7, 0x13, 0x68, 0xa1, 0xf1, 0xc9, 0x6b, 0x86, 0x96, 0xfc,
                           0x77, 0x57, 0x01, 0x00},
};

enum isakmp_vendor isakmp_vendor_find(const uint8_t *body, size_t len)
{
    if (len != ISAKMP_VENDOR_LEN)
        return ISAKMP_VENDOR_UNKNOWN;
    for (size_t i = 1; i < ISAKMP_VENDOR_COUNT; i++) {
        /* another minor version of DPD is DPD */
        const size_t compared = i == ISAKMP_VENDOR_DPD ? len - 1 : len;
        if (memcmp(body, vendors[i], compared) == 0)
            return (enum isakmp_vendor)i;
    }
    return ISAKMP_VENDOR_UNKNOWN;
}

void isakmp_build_vendor(struct ike_builder *b, enum isakmp_vendor vendor)
{
    isakmp_build_payload(b, ISAKMP_PAYLOAD_VENDOR);
    writer_bytes(b->w, vendors[vendor], ISAKMP_VENDOR_LEN);
}

void isakmp_chain_init(struct isakmp_chain *chain, uint8_t first, const uint8_t *data, size_t len)
{
    *chain = (struct isakmp_chain){.next = first};
    reader_init(&chain->reader, data, len);
}

int isakmp_chain_next(struct isakmp_chain *chain, struct ike_payload *ret_payload)
{
    struct reader *r = &chain->reader;
    struct ike_payload p;

    if (!reader_is_ok(r))
        return r->error;
    if (chain->next == ISAKMP_PAYLOAD_NONE)
        return ERR_NOT_FOUND;
    if (chain->count == IKE_PAYLOADS_MAX) {
        reader_fail(r, ERR_LIMIT);
        return r->error;
    }
    int error = ike_payload_read(r, chain->next, &p);
    if (error != ERR_OK)
        return error;
    chain->next = p.next;
    chain->count++;
    *ret_payload = p;
    return ERR_OK;
}

void isakmp_build_payload(struct ike_builder *b, enum isakmp_payload_type type)
{
    ike_build_payload(b, (enum ike_payload_type)type);
}

int isakmp_id_parse(const uint8_t *body, size_t len, struct isakmp_id *ret_id)
{
    struct reader r;

    reader_init(&r, body, len);
    struct isakmp_id id = {.type = reader_u8(&r)};
    id.protocol = reader_u8(&r);
    id.port = reader_u16(&r);
    id.len = reader_left(&r);
    id.data = reader_bytes(&r, id.len);
    if (!reader_is_ok(&r))
        return r.error;
    *ret_id = id;
    return ERR_OK;
}

void isakmp_build_id(struct ike_builder *b, const struct isakmp_id *id)
{
    isakmp_build_payload(b, ISAKMP_PAYLOAD_ID);
    writer_u8(b->w, id->type);
    writer_u8(b->w, id->protocol);
    writer_u16(b->w, id->port);
    writer_bytes(b->w, id->data, id->len);
}

/* The bits of a mask; -1 where it has holes. */
static int mask_bits(const uint8_t *mask, size_t len)
{
    int bits = 0;

    for (size_t i = 0; i < len * 8; i++) {
        const bool is_set = (mask[i / 8] >> (7 - i % 8) & 1) != 0;
        if (is_set && bits != (int)i)
            return -1;
        bits += is_set;
    }
    return bits;
}

int isakmp_id_prefix(const struct isakmp_id *id, struct prefix *ret_prefix)
{
    const bool is_ipv4 = id->type == ISAKMP_ID_IPV4 || id->type == ISAKMP_ID_IPV4_SUBNET;
    const bool is_subnet = id->type == ISAKMP_ID_IPV4_SUBNET || id->type == ISAKMP_ID_IPV6_SUBNET;
    const size_t len = is_ipv4 ? 4 : 16;

    if (!is_ipv4 && !is_subnet && id->type != ISAKMP_ID_IPV6)
        return ERR_UNSUPPORTED;
    if (id->len != (is_subnet ? 2 * len : len))
        return ERR_INVALID;
    const int bits = is_subnet ? mask_bits(id->data + len, len) : (int)len * 8;
    if (bits < 0)
        return ERR_INVALID;
    for (size_t i = (size_t)bits; i < len * 8; i++) {
        if ((id->data[i / 8] >> (7 - i % 8) & 1) != 0)
            return ERR_INVALID;
    }
    *ret_prefix = (struct prefix){
        .address = address_from_bytes(is_ipv4 ? ADDRESS_IPV4 : ADDRESS_IPV6, id->data),
        .bits = (uint8_t)bits,
    };
    return ERR_OK;
}

void isakmp_build_id_prefix(struct ike_builder *b, const struct prefix *prefix, uint8_t protocol,
                            uint16_t port)
{
    const size_t len = address_len(&prefix->address);
    const bool is_ipv4 = prefix->address.family == ADDRESS_IPV4;
    const bool is_single = prefix->bits == len * 8;

    isakmp_build_payload(b, ISAKMP_PAYLOAD_ID);
    if (is_single)
        writer_u8(b->w, is_ipv4 ? ISAKMP_ID_IPV4 : ISAKMP_ID_IPV6);
    else
        writer_u8(b->w, is_ipv4 ? ISAKMP_ID_IPV4_SUBNET : ISAKMP_ID_IPV6_SUBNET);
    writer_u8(b->w, protocol);
    writer_u16(b->w, port);
    writer_bytes(b->w, prefix->address.bytes, len);
    for (size_t i = 0; i < len && !is_single; i++) {
        const size_t left = prefix->bits > i * 8 ? prefix->bits - i * 8 : 0;
        writer_u8(b->w, left >= 8 ? 0xff : (uint8_t)(0xff00u >> left));
    }
}

void isakmp_build_nat_oa(struct ike_builder *b, enum isakmp_natt natt, const struct address *a)
{
    isakmp_build_payload(b, natt == ISAKMP_NATT_RFC ? ISAKMP_PAYLOAD_NAT_OA
                                                    : ISAKMP_PAYLOAD_NAT_OA_DRAFT);
    writer_u8(b->w, a->family == ADDRESS_IPV4 ? ISAKMP_ID_IPV4 : ISAKMP_ID_IPV6);
    writer_zero(b->w, 3);
    writer_bytes(b->w, a->bytes, address_len(a));
}

void isakmp_build_cert(struct ike_builder *b, enum isakmp_payload_type type, uint8_t encoding,
                       const void *data, size_t len)
{
    isakmp_build_payload(b, type);
    writer_u8(b->w, encoding);
    writer_bytes(b->w, data, len);
}

int isakmp_notify_parse(const uint8_t *body, size_t len, struct ike_notify *ret_notify)
{
    struct ike_notify n;
    struct reader r;

    reader_init(&r, body, len);
    const uint32_t doi = reader_u32(&r);
    const size_t left = reader_left(&r);
    const uint8_t *rest = reader_bytes(&r, left);
    if (!reader_is_ok(&r))
        return r.error;
    int error = ike_notify_parse(rest, left, &n);
    if (error != ERR_OK)
        return error;
    if (doi != DOI_IPSEC && doi != DOI_ISAKMP)
        return ERR_UNSUPPORTED;
    *ret_notify = n;
    return ERR_OK;
}

void isakmp_build_notify(struct ike_builder *b, const struct ike_notify *notify)
{
    isakmp_build_payload(b, ISAKMP_PAYLOAD_NOTIFY);
    writer_u32(b->w, DOI_IPSEC);
    writer_u8(b->w, notify->protocol);
    writer_u8(b->w, (uint8_t)notify->spi_len);
    writer_u16(b->w, notify->type);
    writer_bytes(b->w, notify->spi, notify->spi_len);
    writer_bytes(b->w, notify->data, notify->len);
}

int isakmp_delete_parse(const uint8_t *body, size_t len, struct isakmp_delete *ret_delete)
{
    struct isakmp_delete d;
    struct reader r;

    reader_init(&r, body, len);
    const uint32_t doi = reader_u32(&r);
    d.protocol = reader_u8(&r);
    d.spi_len = reader_u8(&r);
    d.count = reader_u16(&r);
    d.spis = reader_bytes(&r, (size_t)d.spi_len * d.count);
    if (!reader_is_ok(&r))
        return r.error;
    if (reader_left(&r) != 0)
        return ERR_INVALID;
    if (doi != DOI_IPSEC && doi != DOI_ISAKMP)
        return ERR_UNSUPPORTED;
    *ret_delete = d;
    return ERR_OK;
}

void isakmp_build_delete(struct ike_builder *b, uint8_t protocol, const void *spi, uint8_t spi_len)
{
    isakmp_build_payload(b, ISAKMP_PAYLOAD_DELETE);
    writer_u32(b->w, DOI_IPSEC);
    writer_u8(b->w, protocol);
    writer_u8(b->w, spi_len);
    writer_u16(b->w, 1);
    writer_bytes(b->w, spi, spi_len);
}
