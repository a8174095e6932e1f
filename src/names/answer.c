/* What rewriting, look-ups and the zone have in common about responses. */
#include "names/answer.h"

#define CNAMES_MAX 16 /* longer chains are taken for loops */

/* Moves *name along the CNAME that the answer section has for it. ERR_NOT_FOUND at the chain's end.
 */
static int follow_one(const uint8_t *message, size_t len, struct dns_name *name)
{
    struct dns_record record;
    struct dns_reader r;

    int error = dns_reader_init(&r, message, len);
    while (error == ERR_OK) {
        error = dns_reader_record(&r, &record);
        if (error == ERR_OK && record.section == DNS_SECTION_ANSWER &&
            record.type == DNS_TYPE_CNAME && record.class == DNS_CLASS_IN &&
            dns_name_is_equal(&record.name, name))
            return dns_record_name(&r, &record, 0, name, NULL);
    }
    return error;
}

/* Walks all records once. */
static int check_records(struct dns_reader *r, struct answer *answer)
{
    struct dns_edns edns = {.is_present = false};
    struct dns_record record;
    int error;

    while ((error = dns_reader_record(r, &record)) == ERR_OK) {
        if (record.section == DNS_SECTION_ADDITIONAL && record.type == DNS_TYPE_OPT) {
            if (edns.is_present || dns_record_edns(&record, &edns) != ERR_OK)
                return ERR_INVALID;
            answer->rcode |= (unsigned)edns.extended_rcode << 4;
        }
        if (record.type == DNS_TYPE_TSIG || record.type == DNS_TYPE_SIG)
            answer->has_signature = true;
        if (record.section == DNS_SECTION_AUTHORITY &&
            (record.type == DNS_TYPE_SOA || record.type == DNS_TYPE_NS))
            answer->has_authority = true;
    }
    if (error != ERR_NOT_FOUND)
        return error;
    return dns_reader_is_at_end(r) ? ERR_OK : ERR_INVALID;
}

int answer_parse(const uint8_t *message, size_t len, struct answer *ret_answer)
{
    struct answer answer = {.has_signature = false};
    struct dns_reader r;

    int error = dns_reader_init(&r, message, len);
    if (error != ERR_OK)
        return error;
    answer.header = r.header;
    answer.rcode = dns_rcode(r.header.flags);
    if ((r.header.flags & DNS_FLAG_QR) == 0 || dns_opcode(r.header.flags) != DNS_OPCODE_QUERY ||
        r.header.question_count != 1)
        return ERR_INVALID;
    error = dns_reader_question(&r, &answer.question);
    if (error == ERR_OK)
        error = check_records(&r, &answer);
    if (error != ERR_OK)
        return error;

    answer.end = answer.question.name;
    for (int count = 0; (error = follow_one(message, len, &answer.end)) == ERR_OK; count++)
        if (count == CNAMES_MAX)
            return ERR_INVALID;
    if (error != ERR_NOT_FOUND)
        return error;
    *ret_answer = answer;
    return ERR_OK;
}

bool answer_is_wanted(const struct answer *answer, const struct dns_record *record, uint16_t type)
{
    return record->section == DNS_SECTION_ANSWER && record->class == DNS_CLASS_IN &&
           record->type == type && dns_name_is_equal(&record->name, &answer->end);
}

void answer_begin(struct dns_writer *d, const struct dns_query *query, uint16_t flags, bool is_tcp,
                  uint8_t *buffer, size_t cap)
{
    size_t limit = is_tcp                   ? DNS_MESSAGE_LEN_MAX
                   : query->edns.is_present ? query->edns.udp_len
                                            : DNS_UDP_LEN_MIN;

    if (limit > cap)
        limit = cap;
    flags |= (uint16_t)(DNS_FLAG_QR | (query->header.flags & (DNS_FLAG_RD | DNS_FLAG_CD)));
    dns_writer_init(d, buffer, limit, query->header.id, flags, query->edns.is_present);
    dns_writer_question(d, &query->question);
}

int answer_finish(struct dns_writer *d, const struct dns_query *query, unsigned rcode,
                  size_t *ret_len)
{
    if (query->edns.is_present)
        dns_writer_edns(d, DNS_UDP_LEN_SAFE, query->edns.is_dnssec_ok, rcode);
    return dns_writer_finish(d, rcode, ret_len);
}
