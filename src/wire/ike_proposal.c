/* The SA payload (RFC 7296, 3.3); see wire/ike_proposal.h. */
#include "wire/ike_proposal.h"

#define MORE_PROPOSALS       2
#define MORE_TRANSFORMS      3
#define PROPOSAL_HEADER_LEN  8
#define TRANSFORM_HEADER_LEN 8
#define ATTRIBUTE_SHORT      0x8000 /* the value stands in place of the length */
#define ATTRIBUTE_KEY_LENGTH 14

void ike_proposals_init(struct ike_proposals *proposals, const uint8_t *body, size_t len)
{
    *proposals = (struct ike_proposals){0};
    reader_init(&proposals->reader, body, len);
}

int ike_proposal_read(struct reader *r, bool *is_last, struct ike_proposal *ret_proposal)
{
    struct ike_proposal p;

    if (*is_last && reader_is_ok(r) && reader_left(r) == 0)
        return ERR_NOT_FOUND;
    const uint8_t more = reader_u8(r);
    reader_skip(r, 1);
    const uint16_t length = reader_u16(r);
    if (reader_is_ok(r) &&
        (*is_last || (more != 0 && more != MORE_PROPOSALS) || length < PROPOSAL_HEADER_LEN))
        reader_fail(r, ERR_INVALID);
    struct reader sub = reader_sub(r, reader_is_ok(r) ? (size_t)length - 4 : 0);
    p.number = reader_u8(&sub);
    p.protocol = reader_u8(&sub);
    p.spi_len = reader_u8(&sub);
    p.transform_count = reader_u8(&sub);
    p.spi = reader_bytes(&sub, p.spi_len);
    if (reader_is_ok(r) && !reader_is_ok(&sub))
        reader_fail(r, ERR_INVALID);
    if (!reader_is_ok(r))
        return r->error;
    p.transforms = sub;
    *is_last = more == 0;
    *ret_proposal = p;
    return ERR_OK;
}

int ike_proposals_next(struct ike_proposals *proposals, struct ike_proposal *ret_proposal)
{
    struct reader *r = &proposals->reader;
    struct ike_proposal p;

    int error = ike_proposal_read(r, &proposals->is_last, &p);
    if (error != ERR_OK)
        return error;
    /* RFC 7296, 3.3.1: the first is 1, each next one more. In an answer the chosen number stands
     * alone, so the first may be any there. */
    if (p.number == 0 || (proposals->number != 0 && p.number != (uint8_t)(proposals->number + 1))) {
        reader_fail(r, ERR_INVALID);
        return r->error;
    }
    proposals->number = p.number;
    *ret_proposal = p;
    return ERR_OK;
}

static void parse_attribute(struct reader *r, struct ike_transform *transform)
{
    uint16_t type = reader_u16(r);
    uint16_t value = reader_u16(r);

    if (type == (ATTRIBUTE_SHORT | ATTRIBUTE_KEY_LENGTH) && value != 0) {
        transform->key_bits = value;
        return;
    }
    transform->has_unknown = true;
    if ((type & ATTRIBUTE_SHORT) == 0)
        reader_skip(r, value);
}

int ike_transform_next(struct ike_proposal *proposal, struct ike_transform *ret_transform)
{
    struct reader *r = &proposal->transforms;
    struct ike_transform t = {0};

    if (proposal->transform_count == 0) {
        if (reader_is_ok(r) && reader_left(r) == 0)
            return ERR_NOT_FOUND;
        reader_fail(r, ERR_INVALID);
        return r->error;
    }
    uint8_t more = reader_u8(r);
    reader_skip(r, 1);
    uint16_t length = reader_u16(r);
    bool is_last = proposal->transform_count == 1;
    if (reader_is_ok(r) &&
        (more != (is_last ? 0 : MORE_TRANSFORMS) || length < TRANSFORM_HEADER_LEN))
        reader_fail(r, ERR_INVALID);
    struct reader sub = reader_sub(r, reader_is_ok(r) ? (size_t)length - 4 : 0);
    t.type = reader_u8(&sub);
    reader_skip(&sub, 1);
    t.id = reader_u16(&sub);
    while (reader_left(&sub) > 0)
        parse_attribute(&sub, &t);
    if (reader_is_ok(r) && !reader_is_ok(&sub))
        reader_fail(r, ERR_INVALID);
    if (!reader_is_ok(r))
        return r->error;
    proposal->transform_count--;
    *ret_transform = t;
    return ERR_OK;
}

int ike_proposals_check(const uint8_t *body, size_t len)
{
    struct ike_proposals proposals;
    struct ike_proposal proposal;
    struct ike_transform transform;
    int error;

    ike_proposals_init(&proposals, body, len);
    while ((error = ike_proposals_next(&proposals, &proposal)) == ERR_OK) {
        while ((error = ike_transform_next(&proposal, &transform)) == ERR_OK)
            ;
        if (error != ERR_NOT_FOUND)
            return error;
    }
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

void ike_build_sa(struct ike_builder *b)
{
    ike_build_payload(b, IKE_PAYLOAD_SA);
}

void ike_build_proposal(struct ike_builder *b, bool is_last, uint8_t number, uint8_t protocol,
                        const void *spi, uint8_t spi_len, const struct ike_transform *transforms,
                        uint8_t count)
{
    struct writer *w = b->w;
    size_t proposal_at = w->len;

    writer_u8(w, is_last ? 0 : MORE_PROPOSALS);
    writer_u8(w, 0);
    writer_u16(w, 0);
    writer_u8(w, number);
    writer_u8(w, protocol);
    writer_u8(w, spi_len);
    writer_u8(w, count);
    writer_bytes(w, spi, spi_len);
    for (size_t i = 0; i < count; i++) {
        const struct ike_transform *t = &transforms[i];
        writer_u8(w, i + 1 < count ? MORE_TRANSFORMS : 0);
        writer_u8(w, 0);
        writer_u16(w, TRANSFORM_HEADER_LEN + (t->key_bits != 0 ? 4 : 0));
        writer_u8(w, t->type);
        writer_u8(w, 0);
        writer_u16(w, t->id);
        if (t->key_bits != 0) {
            writer_u16(w, ATTRIBUTE_SHORT | ATTRIBUTE_KEY_LENGTH);
            writer_u16(w, t->key_bits);
        }
    }
    writer_patch_u16(w, proposal_at + 2, (uint16_t)(w->len - proposal_at));
}
