/* IKEv1's SA payload; see wire/isakmp_sa.h. */
#include "wire/isakmp_sa.h"

#define DOI_IPSEC              1
#define SITUATION_IDENTITY     1 /* RFC 2407, 4.2.1: the only one that anybody uses */
#define MORE_PROPOSALS         2
#define MORE_TRANSFORMS        3
#define TRANSFORM_HEADER_LEN   8
#define ATTRIBUTE_SHORT        0x8000 /* the value stands in place of the length */
#define ATTRIBUTE_LONG_MAX_LEN 4

int isakmp_proposals_init(struct isakmp_proposals *proposals, const uint8_t *body, size_t len)
{
    struct isakmp_proposals p = {.is_last = false};

    reader_init(&p.reader, body, len);
    const uint32_t doi = reader_u32(&p.reader);
    const uint32_t situation = reader_u32(&p.reader);
    if (!reader_is_ok(&p.reader))
        return p.reader.error;
    if (doi != DOI_IPSEC || situation != SITUATION_IDENTITY)
        return ERR_UNSUPPORTED;
    *proposals = p;
    return ERR_OK;
}

int isakmp_proposals_next(struct isakmp_proposals *proposals, struct ike_proposal *ret_proposal)
{
    struct reader *r = &proposals->reader;
    struct ike_proposal p;

    int error = ike_proposal_read(r, &proposals->is_last, &p);
    if (error != ERR_OK)
        return error;
    if (p.spi_len > ISAKMP_SPI_LEN_MAX) {
        reader_fail(r, ERR_INVALID);
        return r->error;
    }
    *ret_proposal = p;
    return ERR_OK;
}

int isakmp_transform_next(struct ike_proposal *proposal, struct isakmp_transform *ret_transform)
{
    struct reader *r = &proposal->transforms;
    struct isakmp_transform t;

    if (proposal->transform_count == 0) {
        if (reader_is_ok(r) && reader_left(r) == 0)
            return ERR_NOT_FOUND;
        reader_fail(r, ERR_INVALID);
        return r->error;
    }
    const uint8_t more = reader_u8(r);
    reader_skip(r, 1);
    const uint16_t length = reader_u16(r);
    const bool is_last = proposal->transform_count == 1;
    if (reader_is_ok(r) &&
        (more != (is_last ? 0 : MORE_TRANSFORMS) || length < TRANSFORM_HEADER_LEN))
        reader_fail(r, ERR_INVALID);
    struct reader sub = reader_sub(r, reader_is_ok(r) ? (size_t)length - 4 : 0);
    t.number = reader_u8(&sub);
    t.id = reader_u8(&sub);
    reader_skip(&sub, 2);
    if (!reader_is_ok(r))
        return r->error;
    t.raw_len = reader_left(&sub);
    t.raw = sub.at;
    t.attributes = sub;
    proposal->transform_count--;
    *ret_transform = t;
    return ERR_OK;
}

int isakmp_attribute_next(struct isakmp_transform *transform,
                          struct isakmp_attribute *ret_attribute)
{
    struct reader *r = &transform->attributes;

    if (!reader_is_ok(r))
        return r->error;
    if (reader_left(r) == 0)
        return ERR_NOT_FOUND;
    const uint16_t type = reader_u16(r);
    const uint16_t value = reader_u16(r);
    struct isakmp_attribute a = {type, value};
    if ((type & ATTRIBUTE_SHORT) != 0) {
        a.type = type & (ATTRIBUTE_SHORT - 1);
    } else {
        struct reader sub = reader_sub(r, value);
        a.value = value > 0 && value <= ATTRIBUTE_LONG_MAX_LEN ? 0 : UINT32_MAX;
        for (size_t i = 0; i < value && value <= ATTRIBUTE_LONG_MAX_LEN; i++)
            a.value = a.value << 8 | reader_u8(&sub);
    }
    if (!reader_is_ok(r))
        return r->error;
    *ret_attribute = a;
    return ERR_OK;
}

int isakmp_sa_check(const uint8_t *body, size_t len)
{
    struct isakmp_proposals proposals;
    struct ike_proposal proposal;
    struct isakmp_transform transform;
    struct isakmp_attribute attribute;

    int error = isakmp_proposals_init(&proposals, body, len);
    if (error != ERR_OK)
        return error;
    while ((error = isakmp_proposals_next(&proposals, &proposal)) == ERR_OK) {
        while ((error = isakmp_transform_next(&proposal, &transform)) == ERR_OK) {
            while ((error = isakmp_attribute_next(&transform, &attribute)) == ERR_OK)
                ;
            if (error != ERR_NOT_FOUND)
                return error;
        }
        if (error != ERR_NOT_FOUND)
            return error;
    }
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

void isakmp_build_sa(struct ike_builder *b)
{
    isakmp_build_payload(b, ISAKMP_PAYLOAD_SA);
    writer_u32(b->w, DOI_IPSEC);
    writer_u32(b->w, SITUATION_IDENTITY);
}

size_t isakmp_build_proposal(struct ike_builder *b, bool is_last, uint8_t number, uint8_t protocol,
                             const void *spi, uint8_t spi_len, uint8_t transform_count)
{
    const size_t at = b->w->len;

    writer_u8(b->w, is_last ? 0 : MORE_PROPOSALS);
    writer_u8(b->w, 0);
    writer_u16(b->w, 0);
    writer_u8(b->w, number);
    writer_u8(b->w, protocol);
    writer_u8(b->w, spi_len);
    writer_u8(b->w, transform_count);
    writer_bytes(b->w, spi, spi_len);
    return at;
}

void isakmp_build_proposal_end(struct ike_builder *b, size_t proposal_at)
{
    writer_patch_u16(b->w, proposal_at + 2, (uint16_t)(b->w->len - proposal_at));
}

size_t isakmp_build_transform(struct ike_builder *b, bool is_last, uint8_t number, uint8_t id)
{
    const size_t at = b->w->len;

    writer_u8(b->w, is_last ? 0 : MORE_TRANSFORMS);
    writer_u8(b->w, 0);
    writer_u16(b->w, 0);
    writer_u8(b->w, number);
    writer_u8(b->w, id);
    writer_u16(b->w, 0);
    return at;
}

void isakmp_build_transform_end(struct ike_builder *b, size_t transform_at)
{
    writer_patch_u16(b->w, transform_at + 2, (uint16_t)(b->w->len - transform_at));
}

void isakmp_build_attribute(struct ike_builder *b, uint16_t type, uint32_t value)
{
    if (value <= UINT16_MAX) {
        writer_u16(b->w, ATTRIBUTE_SHORT | type);
        writer_u16(b->w, (uint16_t)value);
        return;
    }
    writer_u16(b->w, type);
    writer_u16(b->w, 4);
    writer_u32(b->w, value);
}
