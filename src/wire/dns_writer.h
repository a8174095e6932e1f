/* Building of DNS messages in a caller's buffer: header, question, records by section, names
 * compressed against those already written (RFC 1035, 4.1.4), truncation by whole records (RFC
 * 2181, 9). */
#ifndef WIRE_DNS_WRITER_H
#define WIRE_DNS_WRITER_H

#include "base/writer.h"
#include "wire/dns.h"

#define DNS_WRITER_NAMES_MAX 16 /* names that later ones are compressed against */

struct dns_writer {
    struct writer w;
    size_t limit; /* largest message; records that pass it are left out whole */
    uint16_t flags;
    uint16_t counts[4]; /* questions, then by enum dns_section */
    unsigned section;
    bool is_truncated;
    uint16_t name_offsets[DNS_WRITER_NAMES_MAX];
    unsigned name_count;
};

/* limit: the message's largest length, at most cap. Room for one OPT (DNS_OPT_LEN) is kept back
 * when has_edns, so that it fits always. */
#define DNS_OPT_LEN 11
void dns_writer_init(struct dns_writer *d, uint8_t *buffer, size_t limit, uint16_t id,
                     uint16_t flags, bool has_edns);
/* Before any record. */
void dns_writer_question(struct dns_writer *d, const struct dns_question *question);
/* Records: sections in their order, class IN. One that does not fit is left out whole; in the
 * answer and authority sections this also sets TC. Other errors stick until dns_writer_finish. */
void dns_writer_address(struct dns_writer *d, enum dns_section section,
                        const struct dns_name *owner, uint32_t ttl,
                        const struct address *address); /* A or AAAA */
/* NS, CNAME or PTR */
void dns_writer_name(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                     uint16_t type, uint32_t ttl, const struct dns_name *target);
void dns_writer_srv(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                    uint32_t ttl, const struct dns_srv *srv);
void dns_writer_soa(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                    uint32_t ttl, const struct dns_soa *soa);
/* Precedence 10, no gateway, EdDSA, the raw Ed25519 key. */
void dns_writer_ipseckey(struct dns_writer *d, enum dns_section section,
                         const struct dns_name *owner, uint32_t ttl,
                         const uint8_t key[DNS_IPSECKEY_EDDSA_LEN]);
/* Any other type: rdata as it stands. */
void dns_writer_raw(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                    uint16_t type, uint32_t ttl, const void *rdata, size_t len);
/* OPT with udp_len and the upper bits of rcode; last of all. */
void dns_writer_edns(struct dns_writer *d, uint16_t udp_len, bool is_dnssec_ok, unsigned rcode);
/* Sets the header's flags (those of init, rcode's lower bits, TC) and counts. ERR_FULL: not even
 * header and question fit; ERR_STATE: sections out of order; ERR_INVALID: a bad argument. */
MUST_USE int dns_writer_finish(struct dns_writer *d, unsigned rcode, size_t *ret_len);

#endif
