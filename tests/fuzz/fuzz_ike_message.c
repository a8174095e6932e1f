/* IKEv2 messages: header, chain, every payload's body. What parses lies inside the message. */
#include "fuzz.h"

#include "wire/ike_message.h"

static const uint8_t *start;
static size_t size;

static void check_inside(const void *part, size_t part_len)
{
    const uint8_t *bytes = part;
    if (bytes != NULL)
        must(bytes >= start && part_len <= size && bytes + part_len <= start + size);
}

static void check_sa(const struct ike_payload *sa)
{
    struct ike_proposals proposals;
    struct ike_proposal p;
    struct ike_transform t;
    const int is_good = ike_proposals_check(sa->body, sa->len) == 0;
    ike_proposals_init(&proposals, sa->body, sa->len);
    int error;
    while ((error = ike_proposals_next(&proposals, &p)) == 0) {
        check_inside(p.spi, p.spi_len);
        must(p.spi_len <= IKE_SPI_LEN_MAX);
        int inner;
        while ((inner = ike_transform_next(&p, &t)) == 0)
            continue;
        must(!is_good || inner == ERR_NOT_FOUND);
        if (inner != ERR_NOT_FOUND)
            return;
    }
    must(!is_good || error == ERR_NOT_FOUND);
}

static void check_ts(const struct ike_payload *ts)
{
    struct ike_selector selectors[4];
    size_t count = 0;
    if (ts->body != NULL && ike_ts_parse(ts->body, ts->len, selectors, 4, &count) == 0)
        must(count <= 4);
}

static void check_singles(const struct ike_message *m)
{
    struct ike_ke ke;
    struct ike_id id;
    struct ike_auth auth;
    if (m->sa.body != NULL)
        check_sa(&m->sa);
    if (m->ke.body != NULL && ike_ke_parse(m->ke.body, m->ke.len, &ke) == 0)
        check_inside(ke.data, ke.len);
    if (m->id_i.body != NULL && ike_id_parse(m->id_i.body, m->id_i.len, &id) == 0)
        check_inside(id.data, id.len);
    if (m->auth.body != NULL && ike_auth_parse(m->auth.body, m->auth.len, &auth) == 0)
        check_inside(auth.data, auth.len);
    check_ts(&m->ts_i);
    check_ts(&m->ts_r);
}

static void check_lists(const struct ike_message *m)
{
    struct ike_notify notify;
    struct ike_delete delete;
    struct ike_cert cert;
    struct ike_chain chain = m->chain;
    while (ike_message_next_notify(&chain, &notify)) {
        check_inside(notify.spi, notify.spi_len);
        check_inside(notify.data, notify.len);
    }
    chain = m->chain;
    while (ike_message_next_delete(&chain, &delete))
        check_inside(delete.spis, (size_t) delete.count * delete.spi_len);
    chain = m->chain;
    while (ike_message_next_cert(&chain, IKE_PAYLOAD_CERT, &cert))
        check_inside(cert.data, cert.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct ike_header header;
    struct ike_message m;
    struct ike_sk sk;
    size_t stripped;

    start = data;
    size = len;
    if (ike_header_parse(data, len, &header) != 0)
        return 0;
    must(len >= IKE_HEADER_LEN);
    if (ike_sk_locate(data, len, 8, 16, &sk) == 0) {
        must(sk.iv_at + 8 == sk.data_at && sk.data_len >= 1);
        must(sk.data_at + sk.data_len == sk.tag_at && sk.tag_at + 16 == len);
        if (ike_sk_strip(data + sk.data_at, sk.data_len, &stripped) == 0)
            must(stripped < sk.data_len);
    }
    if (ike_message_parse(header.next_payload, data + IKE_HEADER_LEN, len - IKE_HEADER_LEN, &m) ==
        0) {
        check_singles(&m);
        check_lists(&m);
    }
    return 0;
}
