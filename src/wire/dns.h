/* DNS messages (RFC 1035): constants, reading of header, question and records, EDNS(0) (RFC 6891),
 * and the record types that Detec uses. Reads in place; nothing is allocated. Building is in
 * wire/dns_writer.h, names in wire/dns_name.h. */
#ifndef WIRE_DNS_H
#define WIRE_DNS_H

#include "base/address.h"
#include "base/error.h"
#include "wire/dns_name.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER_LEN      12
#define DNS_MESSAGE_LEN_MAX 65535
#define DNS_UDP_LEN_MIN     512  /* RFC 1035, 4.2.1: without EDNS */
#define DNS_UDP_LEN_SAFE    1232 /* of IPv6's least MTU, the value of DNS flag day 2020 */

/* Flag word of the header (RFC 1035, 4.1.1; AD and CD: RFC 4035). */
#define DNS_FLAG_QR 0x8000
#define DNS_FLAG_AA 0x0400
#define DNS_FLAG_TC 0x0200
#define DNS_FLAG_RD 0x0100
#define DNS_FLAG_RA 0x0080
#define DNS_FLAG_AD 0x0020
#define DNS_FLAG_CD 0x0010

enum dns_opcode { DNS_OPCODE_QUERY = 0, DNS_OPCODE_NOTIFY = 4, DNS_OPCODE_UPDATE = 5 };

enum dns_rcode {
    DNS_RCODE_NOERROR = 0,
    DNS_RCODE_FORMERR = 1,
    DNS_RCODE_SERVFAIL = 2,
    DNS_RCODE_NXDOMAIN = 3,
    DNS_RCODE_NOTIMP = 4,
    DNS_RCODE_REFUSED = 5,
    DNS_RCODE_BADVERS = 16, /* extended: RFC 6891, 6.1.3 */
};

enum dns_class { DNS_CLASS_IN = 1, DNS_CLASS_CH = 3, DNS_CLASS_NONE = 254, DNS_CLASS_ANY = 255 };

enum dns_type {
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_SIG = 24,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_DNAME = 39,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_IPSECKEY = 45,
    DNS_TYPE_RRSIG = 46,
    DNS_TYPE_SVCB = 64,
    DNS_TYPE_HTTPS = 65,
    DNS_TYPE_TKEY = 249,
    DNS_TYPE_TSIG = 250,
    DNS_TYPE_IXFR = 251,
    DNS_TYPE_AXFR = 252,
    DNS_TYPE_ANY = 255,
};

enum dns_section { DNS_SECTION_ANSWER, DNS_SECTION_AUTHORITY, DNS_SECTION_ADDITIONAL };

struct dns_header {
    uint16_t id;
    uint16_t flags;
    uint16_t question_count;
    uint16_t record_counts[3]; /* by enum dns_section */
};

struct dns_question {
    struct dns_name name;
    uint16_t type;
    uint16_t class;
};

struct dns_record {
    enum dns_section section;
    struct dns_name name; /* owner */
    uint16_t type;
    uint16_t class;
    uint32_t ttl;
    const uint8_t *rdata; /* borrowed from the message */
    uint16_t rdata_len;
    size_t ttl_offset; /* in the message */
    size_t rdata_offset;
};

static inline unsigned dns_opcode(uint16_t flags)
{
    return flags >> 11 & 15;
}

static inline unsigned dns_rcode(uint16_t flags)
{
    return flags & 15;
}

/* ---- reading a message from front to back ---- */

struct dns_reader {
    const uint8_t *message;
    size_t len;
    size_t at;
    struct dns_header header;
    uint16_t questions_left;
    uint16_t records_left[3];
};

/* message is borrowed while the reader is in use. ERR_TRUNCATED: shorter than a header. */
MUST_USE int dns_reader_init(struct dns_reader *r, const uint8_t *message, size_t len);
/* The next question; ERR_NOT_FOUND after the last. */
MUST_USE int dns_reader_question(struct dns_reader *r, struct dns_question *ret_question);
/* The next record of whatever section, skipping questions not read yet; ERR_NOT_FOUND after the
 * last. After any other error nothing more can be read. */
MUST_USE int dns_reader_record(struct dns_reader *r, struct dns_record *ret_record);
/* All read, and no byte is left over. */
bool dns_reader_is_at_end(const struct dns_reader *r);
/* A compressible name inside rdata (NS, CNAME, PTR, SOA) at rdata offset `at`; it must stay inside.
 * ret_next (may be NULL): the rdata offset after it. */
MUST_USE int dns_record_name(const struct dns_reader *r, const struct dns_record *record, size_t at,
                             struct dns_name *ret_name, size_t *ret_next);

/* ---- rdata ---- */

struct dns_srv { /* RFC 2782 */
    uint16_t priority;
    uint16_t weight;
    uint16_t port;
    struct dns_name target;
};

struct dns_soa { /* RFC 1035, 3.3.13; times in seconds */
    struct dns_name primary;
    struct dns_name mailbox;
    uint32_t serial;
    uint32_t refresh;
    uint32_t retry;
    uint32_t expire;
    uint32_t minimum; /* negative TTL: RFC 2308, 4 */
};

#define DNS_IPSECKEY_GATEWAY_NONE    0
#define DNS_IPSECKEY_ALGORITHM_EDDSA 4  /* RFC 9373 */
#define DNS_IPSECKEY_EDDSA_LEN       32 /* Ed25519: the raw key */

struct dns_ipseckey { /* RFC 4025, 2; the gateway is skipped */
    uint8_t precedence;
    uint8_t gateway_type;
    uint8_t algorithm;
    const uint8_t *key; /* borrowed from the record */
    size_t key_len;
};

/* A or AAAA; ERR_INVALID for another type or length. */
MUST_USE int dns_record_address(const struct dns_record *record, struct address *ret_address);
MUST_USE int dns_record_srv(const struct dns_reader *r, const struct dns_record *record,
                            struct dns_srv *ret_srv);
MUST_USE int dns_record_soa(const struct dns_reader *r, const struct dns_record *record,
                            struct dns_soa *ret_soa);
MUST_USE int dns_record_ipseckey(const struct dns_reader *r, const struct dns_record *record,
                                 struct dns_ipseckey *ret_key);

struct dns_edns {
    bool is_present;
    uint8_t version;
    uint8_t extended_rcode; /* upper 8 bits of 12 */
    bool is_dnssec_ok;      /* DO */
    uint16_t udp_len;       /* what the sender can take; at least 512 */
};

/* From an OPT record; ERR_INVALID if its owner is not the root or its options are cut. */
MUST_USE int dns_record_edns(const struct dns_record *record, struct dns_edns *ret_edns);

/* ---- whole messages ---- */

struct dns_query {
    struct dns_header header;
    struct dns_question question;
    size_t question_end; /* offset after the question: bytes 12 to here are the question as sent */
    struct dns_edns edns;
};

/* A query (QR clear) of any opcode with exactly one question, well-formed to its last byte and with
 * one OPT at most; else ERR_TRUNCATED or ERR_INVALID. */
MUST_USE int dns_query_parse(const uint8_t *message, size_t len, struct dns_query *ret_query);
/* Is response an answer to exactly this query: QR, ID, opcode and the one question (name without
 * case)? Says nothing about the records in it. */
bool dns_response_is_for(const uint8_t *response, size_t len, const uint8_t *query,
                         size_t query_len);

#endif
