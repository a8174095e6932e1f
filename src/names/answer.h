/* A DNS response as a whole: is it well-formed, what was asked, and where does the CNAME chain of
 * the question end? For the other files of this folder. */
#ifndef NAMES_ANSWER_H
#define NAMES_ANSWER_H

#include "wire/dns.h"
#include "wire/dns_writer.h"

struct answer {
    struct dns_header header;
    struct dns_question question;
    struct dns_name end; /* the question's name after all CNAMEs */
    unsigned rcode;      /* with EDNS's upper bits */
    bool has_signature;  /* TSIG or SIG(0): bound to every byte */
    bool has_authority;  /* SOA or NS in the authority section: NODATA or referral */
};

/* ERR_TRUNCATED or ERR_INVALID: not a well-formed response with one question, or a loop of CNAMEs.
 */
MUST_USE int answer_parse(const uint8_t *message, size_t len, struct answer *ret_answer);
/* Is this record in the answer section, class IN, of this type, at the end of the chain? */
bool answer_is_wanted(const struct answer *answer, const struct dns_record *record, uint16_t type);

/* Begins the response to a query: its question as asked, RD and CD copied, flags added, limit by
 * transport. */
void answer_begin(struct dns_writer *d, const struct dns_query *query, uint16_t flags, bool is_tcp,
                  uint8_t *buffer, size_t cap);
/* With OPT if the query had one. */
MUST_USE int answer_finish(struct dns_writer *d, const struct dns_query *query, unsigned rcode,
                           size_t *ret_len);

#endif
