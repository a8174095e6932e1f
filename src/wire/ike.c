/* IKEv2 header and payload chains (RFC 7296, 3.1, 3.2, 3.14); see wire/ike.h. */
#include "wire/ike.h"

#define LENGTH_AT       24 /* of the length field in the header */
#define NEXT_PAYLOAD_AT 16
#define CRITICAL        0x80

static const struct {
    uint16_t type;
    const char *name;
} notify_names[] = {
    {IKE_NOTIFY_UNSUPPORTED_CRITICAL_PAYLOAD, "UNSUPPORTED_CRITICAL_PAYLOAD"},
    {IKE_NOTIFY_INVALID_IKE_SPI, "INVALID_IKE_SPI"},
    {IKE_NOTIFY_INVALID_MAJOR_VERSION, "INVALID_MAJOR_VERSION"},
    {IKE_NOTIFY_INVALID_SYNTAX, "INVALID_SYNTAX"},
    {IKE_NOTIFY_INVALID_MESSAGE_ID, "INVALID_MESSAGE_ID"},
    {IKE_NOTIFY_INVALID_SPI, "INVALID_SPI"},
    {IKE_NOTIFY_NO_PROPOSAL_CHOSEN, "NO_PROPOSAL_CHOSEN"},
    {IKE_NOTIFY_INVALID_KE_PAYLOAD, "INVALID_KE_PAYLOAD"},
    {IKE_NOTIFY_AUTHENTICATION_FAILED, "AUTHENTICATION_FAILED"},
    {IKE_NOTIFY_SINGLE_PAIR_REQUIRED, "SINGLE_PAIR_REQUIRED"},
    {IKE_NOTIFY_NO_ADDITIONAL_SAS, "NO_ADDITIONAL_SAS"},
    {IKE_NOTIFY_INTERNAL_ADDRESS_FAILURE, "INTERNAL_ADDRESS_FAILURE"},
    {IKE_NOTIFY_FAILED_CP_REQUIRED, "FAILED_CP_REQUIRED"},
    {IKE_NOTIFY_TS_UNACCEPTABLE, "TS_UNACCEPTABLE"},
    {IKE_NOTIFY_INVALID_SELECTORS, "INVALID_SELECTORS"},
    {IKE_NOTIFY_UNEXPECTED_NAT_DETECTED, "UNEXPECTED_NAT_DETECTED"},
    {IKE_NOTIFY_TEMPORARY_FAILURE, "TEMPORARY_FAILURE"},
    {IKE_NOTIFY_CHILD_SA_NOT_FOUND, "CHILD_SA_NOT_FOUND"},
    {IKE_NOTIFY_INITIAL_CONTACT, "INITIAL_CONTACT"},
    {IKE_NOTIFY_NAT_DETECTION_SOURCE_IP, "NAT_DETECTION_SOURCE_IP"},
    {IKE_NOTIFY_NAT_DETECTION_DESTINATION_IP, "NAT_DETECTION_DESTINATION_IP"},
    {IKE_NOTIFY_COOKIE, "COOKIE"},
    {IKE_NOTIFY_USE_TRANSPORT_MODE, "USE_TRANSPORT_MODE"},
    {IKE_NOTIFY_REKEY_SA, "REKEY_SA"},
    {IKE_NOTIFY_ESP_TFC_PADDING_NOT_SUPPORTED, "ESP_TFC_PADDING_NOT_SUPPORTED"},
    {IKE_NOTIFY_MOBIKE_SUPPORTED, "MOBIKE_SUPPORTED"},
    {IKE_NOTIFY_ADDITIONAL_IP4_ADDRESS, "ADDITIONAL_IP4_ADDRESS"},
    {IKE_NOTIFY_ADDITIONAL_IP6_ADDRESS, "ADDITIONAL_IP6_ADDRESS"},
    {IKE_NOTIFY_NO_ADDITIONAL_ADDRESSES, "NO_ADDITIONAL_ADDRESSES"},
    {IKE_NOTIFY_NO_NATS_ALLOWED, "NO_NATS_ALLOWED"},
    {IKE_NOTIFY_UPDATE_SA_ADDRESSES, "UPDATE_SA_ADDRESSES"},
    {IKE_NOTIFY_COOKIE2, "COOKIE2"},
    {IKE_NOTIFY_TICKET_LT_OPAQUE, "TICKET_LT_OPAQUE"},
    {IKE_NOTIFY_TICKET_REQUEST, "TICKET_REQUEST"},
    {IKE_NOTIFY_TICKET_ACK, "TICKET_ACK"},
    {IKE_NOTIFY_TICKET_NACK, "TICKET_NACK"},
    {IKE_NOTIFY_TICKET_OPAQUE, "TICKET_OPAQUE"},
    {IKE_NOTIFY_CHILDLESS_IKEV2_SUPPORTED, "CHILDLESS_IKEV2_SUPPORTED"},
    {IKE_NOTIFY_FRAGMENTATION_SUPPORTED, "IKEV2_FRAGMENTATION_SUPPORTED"},
    {IKE_NOTIFY_SIGNATURE_HASH_ALGORITHMS, "SIGNATURE_HASH_ALGORITHMS"},
};

const char *ike_notify_name(uint16_t type)
{
    for (size_t i = 0; i < sizeof(notify_names) / sizeof(notify_names[0]); i++)
        if (notify_names[i].type == type)
            return notify_names[i].name;
    return NULL;
}

int ike_header_parse(const uint8_t *message, size_t len, struct ike_header *ret_header)
{
    struct reader r;
    struct ike_header h;

    reader_init(&r, message, len);
    h.spi_i = reader_u64(&r);
    h.spi_r = reader_u64(&r);
    h.next_payload = reader_u8(&r);
    uint8_t version = reader_u8(&r);
    h.major_version = version >> 4;
    h.minor_version = version & 0x0f;
    h.exchange = reader_u8(&r);
    h.flags = reader_u8(&r);
    h.message_id = reader_u32(&r);
    uint32_t length = reader_u32(&r);
    if (!reader_is_ok(&r))
        return r.error;
    if (length != len)
        return ERR_INVALID;
    *ret_header = h;
    return ERR_OK;
}

uint32_t ike_header_len(const uint8_t *data, size_t len)
{
    struct reader r;

    reader_init(&r, data, len);
    reader_skip(&r, LENGTH_AT);
    const uint32_t length = reader_u32(&r);
    return reader_is_ok(&r) ? length : 0;
}

void ike_chain_init(struct ike_chain *chain, uint8_t first, const uint8_t *data, size_t len)
{
    reader_init(&chain->reader, data, len);
    chain->next = first;
}

int ike_payload_read(struct reader *r, uint8_t type, struct ike_payload *ret_payload)
{
    struct ike_payload p = {.type = type};

    p.next = reader_u8(r);
    p.is_critical = (reader_u8(r) & CRITICAL) != 0;
    const uint16_t length = reader_u16(r);
    if (reader_is_ok(r) && length < IKE_PAYLOAD_HEADER_LEN)
        reader_fail(r, ERR_INVALID);
    p.len = reader_is_ok(r) ? (size_t)length - IKE_PAYLOAD_HEADER_LEN : 0;
    p.body = reader_bytes(r, p.len);
    if (!reader_is_ok(r))
        return r->error;
    *ret_payload = p;
    return ERR_OK;
}

int ike_chain_next(struct ike_chain *chain, struct ike_payload *ret_payload)
{
    struct reader *r = &chain->reader;
    struct ike_payload p;

    if (!reader_is_ok(r))
        return r->error;
    if (chain->next == IKE_PAYLOAD_NONE) {
        if (reader_left(r) == 0)
            return ERR_NOT_FOUND;
        reader_fail(r, ERR_INVALID);
        return r->error;
    }
    int error = ike_payload_read(r, chain->next, &p);
    if (error != ERR_OK)
        return error;
    const bool is_sealed = p.type == IKE_PAYLOAD_SK || p.type == IKE_PAYLOAD_SKF;
    chain->next = is_sealed ? (uint8_t)IKE_PAYLOAD_NONE : p.next;
    *ret_payload = p;
    return ERR_OK;
}

void ike_build_begin(struct ike_builder *b, struct writer *w, const struct ike_header *header)
{
    *b = (struct ike_builder){.w = w, .message_at = w->len};
    b->next_at = b->message_at + NEXT_PAYLOAD_AT;
    writer_u64(w, header->spi_i);
    writer_u64(w, header->spi_r);
    writer_u8(w, IKE_PAYLOAD_NONE);
    writer_u8(w, (uint8_t)(header->major_version << 4 | header->minor_version));
    writer_u8(w, header->exchange);
    writer_u8(w, header->flags);
    writer_u32(w, header->message_id);
    writer_u32(w, 0); /* length, by ike_build_end() */
}

static void patch_length(struct ike_builder *b, size_t payload_at)
{
    size_t len = b->w->len - payload_at;
    if (len > UINT16_MAX)
        writer_fail(b->w, ERR_FULL);
    writer_patch_u16(b->w, payload_at + 2, (uint16_t)len);
}

static void end_payload(struct ike_builder *b)
{
    if (b->payload_at != 0)
        patch_length(b, b->payload_at);
    b->payload_at = 0;
}

void ike_build_payload(struct ike_builder *b, enum ike_payload_type type)
{
    end_payload(b);
    writer_patch_u8(b->w, b->next_at, (uint8_t)type);
    b->payload_at = b->next_at = b->w->len;
    writer_u8(b->w, IKE_PAYLOAD_NONE);
    writer_u8(b->w, 0);
    writer_u16(b->w, 0);
}

void ike_build_sk(struct ike_builder *b, size_t iv_len, size_t block_len)
{
    ike_build_payload(b, IKE_PAYLOAD_SK);
    b->sk_at = b->payload_at;
    b->payload_at = 0;
    writer_zero(b->w, iv_len);
    b->sealed_at = b->w->len;
    b->block_len = block_len;
}

void ike_build_skf(struct ike_builder *b, uint8_t first, uint16_t number, uint16_t total,
                   size_t iv_len, size_t block_len)
{
    ike_build_payload(b, IKE_PAYLOAD_SKF);
    b->sk_at = b->payload_at;
    b->payload_at = 0;
    writer_patch_u8(b->w, b->sk_at, first);
    writer_u16(b->w, number);
    writer_u16(b->w, total);
    writer_zero(b->w, iv_len);
    b->sealed_at = b->w->len;
    b->block_len = block_len;
}

void ike_build_close(struct ike_builder *b)
{
    end_payload(b);
}

void ike_build_end(struct ike_builder *b, size_t tag_len)
{
    end_payload(b);
    if (b->sk_at != 0) {
        const size_t over = (b->w->len + 1 - b->sealed_at) % b->block_len;
        const size_t pad = over != 0 ? b->block_len - over : 0;
        writer_zero(b->w, pad);
        writer_u8(b->w, (uint8_t)pad);
        writer_zero(b->w, tag_len);
        patch_length(b, b->sk_at);
    }
    size_t len = b->w->len - b->message_at;
    writer_patch_u16(b->w, b->message_at + LENGTH_AT, (uint16_t)(len >> 16));
    writer_patch_u16(b->w, b->message_at + LENGTH_AT + 2, (uint16_t)len);
}

int ike_sk_locate(const uint8_t *message, size_t len, size_t iv_len, size_t tag_len,
                  struct ike_sk *ret_sk)
{
    struct ike_header header;
    struct ike_chain chain;
    struct ike_payload sk;

    int error = ike_header_parse(message, len, &header);
    if (error != ERR_OK)
        return error;
    const bool is_fragment = header.next_payload == IKE_PAYLOAD_SKF;
    if (header.next_payload != IKE_PAYLOAD_SK && !is_fragment)
        return ERR_INVALID;
    ike_chain_init(&chain, header.next_payload, message + IKE_HEADER_LEN, len - IKE_HEADER_LEN);
    error = ike_chain_next(&chain, &sk);
    if (error != ERR_OK)
        return error;
    const size_t head_len = is_fragment ? IKE_SKF_HEAD_LEN : 0;
    if (reader_left(&chain.reader) != 0 || sk.len < head_len + iv_len + 1 + tag_len)
        return ERR_INVALID;
    size_t body_at = (size_t)(sk.body - message);
    struct ike_sk parts = {
        .ad_len = body_at + head_len,
        .iv_at = body_at + head_len,
        .data_at = body_at + head_len + iv_len,
        .data_len = sk.len - head_len - iv_len - tag_len,
        .tag_at = body_at + sk.len - tag_len,
        .inner = sk.next,
    };
    if (is_fragment) {
        parts.fragment_number = (uint16_t)(sk.body[0] << 8 | sk.body[1]);
        parts.fragment_total = (uint16_t)(sk.body[2] << 8 | sk.body[3]);
        if (parts.fragment_number == 0 || parts.fragment_number > parts.fragment_total ||
            (parts.fragment_number > 1 && sk.next != IKE_PAYLOAD_NONE))
            return ERR_INVALID;
    }
    *ret_sk = parts;
    return ERR_OK;
}

int ike_sk_strip(const uint8_t *data, size_t len, size_t *ret_len)
{
    if (len < 1 || data[len - 1] > len - 1)
        return ERR_INVALID;
    *ret_len = len - 1 - data[len - 1];
    return ERR_OK;
}
