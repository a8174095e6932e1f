/* Building of DNS messages. A record goes in whole or not at all; the first other error sticks
 * until dns_writer_finish tells it. */
#include "wire/dns_writer.h"

#include <string.h>

#define FLAGS_AT           2
#define COUNTS_AT          4
#define POINTER_OFFSET_MAX 0x3fff /* RFC 1035, 4.1.4: 14 bits */

#define IPSECKEY_PRECEDENCE 10

void dns_writer_init(struct dns_writer *d, uint8_t *buffer, size_t limit, uint16_t id,
                     uint16_t flags, bool has_edns)
{
    size_t reserved = has_edns ? DNS_OPT_LEN : 0;

    *d = (struct dns_writer){.limit = limit, .flags = flags};
    writer_init(&d->w, buffer, limit > reserved ? limit - reserved : 0);
    writer_u16(&d->w, id);
    writer_zero(&d->w, DNS_HEADER_LEN - 2); /* patched by dns_writer_finish */
}

/* Where in the message a name equal to this one starts; 0 if nowhere. */
static size_t find_name(const struct dns_writer *d, const struct dns_name *name)
{
    for (unsigned i = 0; i < d->name_count; i++) {
        size_t at = d->name_offsets[i];
        for (;;) {
            struct dns_name written;
            uint8_t octet = d->w.base[at];
            if (octet > DNS_LABEL_LEN_MAX) {
                at = (size_t)(octet & 0x3f) << 8 | d->w.base[at + 1];
                continue;
            }
            if (octet == 0 || dns_name_parse(d->w.base, d->w.len, at, &written, NULL) != ERR_OK)
                break;
            if (dns_name_is_equal(&written, name))
                return at;
            at += 1 + (size_t)octet;
        }
    }
    return 0;
}

static void write_name(struct dns_writer *d, const struct dns_name *name)
{
    size_t start = d->w.len;
    size_t at = 0;

    if (name->len == 0)
        writer_fail(&d->w, ERR_INVALID);
    while (at < name->len && name->bytes[at] != 0) {
        struct dns_name suffix = {.len = (uint8_t)(name->len - at)};
        memcpy(suffix.bytes, name->bytes + at, suffix.len);
        size_t pointer = find_name(d, &suffix);
        if (pointer != 0 && pointer <= POINTER_OFFSET_MAX) {
            writer_u16(&d->w, (uint16_t)(0xc000 | pointer));
            break;
        }
        writer_bytes(&d->w, name->bytes + at, 1 + (size_t)name->bytes[at]);
        at += 1 + (size_t)name->bytes[at];
    }
    if (at < name->len && name->bytes[at] == 0)
        writer_u8(&d->w, 0);
    /* A name that is a pointer from its start adds nothing to point to. */
    if (writer_is_ok(&d->w) && at > 0 && start <= POINTER_OFFSET_MAX &&
        d->name_count < DNS_WRITER_NAMES_MAX)
        d->name_offsets[d->name_count++] = (uint16_t)start;
}

void dns_writer_question(struct dns_writer *d, const struct dns_question *question)
{
    if (d->counts[1] + d->counts[2] + d->counts[3] > 0)
        writer_fail(&d->w, ERR_STATE);
    write_name(d, &question->name);
    writer_u16(&d->w, question->type);
    writer_u16(&d->w, question->class);
    d->counts[0]++;
}

struct mark {
    size_t len;
    unsigned name_count;
    size_t rdata_at;
};

/* False: leave this record out. */
static bool begin(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                  uint16_t type, uint32_t ttl, struct mark *ret_mark)
{
    if (section < d->section)
        writer_fail(&d->w, ERR_STATE);
    if (!writer_is_ok(&d->w) || d->is_truncated)
        return false;
    d->section = section;
    ret_mark->len = d->w.len;
    ret_mark->name_count = d->name_count;
    write_name(d, owner);
    writer_u16(&d->w, type);
    writer_u16(&d->w, DNS_CLASS_IN);
    writer_u32(&d->w, ttl);
    writer_u16(&d->w, 0);
    ret_mark->rdata_at = d->w.len;
    return true;
}

static void end(struct dns_writer *d, const struct mark *mark)
{
    if (d->w.error == ERR_FULL) {
        d->w.error = ERR_OK;
        d->w.len = mark->len;
        d->name_count = mark->name_count;
        /* RFC 2181, 9: TC only where needed data is missing. */
        if (d->section != DNS_SECTION_ADDITIONAL)
            d->is_truncated = true;
        return;
    }
    writer_patch_u16(&d->w, mark->rdata_at - 2, (uint16_t)(d->w.len - mark->rdata_at));
    d->counts[1 + d->section]++;
}

void dns_writer_raw(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                    uint16_t type, uint32_t ttl, const void *rdata, size_t len)
{
    struct mark mark;

    if (len > UINT16_MAX)
        writer_fail(&d->w, ERR_INVALID);
    if (!begin(d, section, owner, type, ttl, &mark))
        return;
    writer_bytes(&d->w, rdata, len);
    end(d, &mark);
}

void dns_writer_address(struct dns_writer *d, enum dns_section section,
                        const struct dns_name *owner, uint32_t ttl, const struct address *address)
{
    uint16_t type = address->family == ADDRESS_IPV4 ? DNS_TYPE_A : DNS_TYPE_AAAA;

    if (address->family == ADDRESS_NONE)
        writer_fail(&d->w, ERR_INVALID);
    dns_writer_raw(d, section, owner, type, ttl, address->bytes, address_len(address));
}

void dns_writer_name(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                     uint16_t type, uint32_t ttl, const struct dns_name *target)
{
    struct mark mark;

    if (!begin(d, section, owner, type, ttl, &mark))
        return;
    write_name(d, target);
    end(d, &mark);
}

void dns_writer_srv(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                    uint32_t ttl, const struct dns_srv *srv)
{
    struct mark mark;

    if (!begin(d, section, owner, DNS_TYPE_SRV, ttl, &mark))
        return;
    writer_u16(&d->w, srv->priority);
    writer_u16(&d->w, srv->weight);
    writer_u16(&d->w, srv->port);
    writer_bytes(&d->w, srv->target.bytes, srv->target.len); /* RFC 2782: never compressed */
    end(d, &mark);
}

void dns_writer_soa(struct dns_writer *d, enum dns_section section, const struct dns_name *owner,
                    uint32_t ttl, const struct dns_soa *soa)
{
    struct mark mark;

    if (!begin(d, section, owner, DNS_TYPE_SOA, ttl, &mark))
        return;
    write_name(d, &soa->primary);
    write_name(d, &soa->mailbox);
    writer_u32(&d->w, soa->serial);
    writer_u32(&d->w, soa->refresh);
    writer_u32(&d->w, soa->retry);
    writer_u32(&d->w, soa->expire);
    writer_u32(&d->w, soa->minimum);
    end(d, &mark);
}

void dns_writer_ipseckey(struct dns_writer *d, enum dns_section section,
                         const struct dns_name *owner, uint32_t ttl,
                         const uint8_t key[DNS_IPSECKEY_EDDSA_LEN])
{
    uint8_t rdata[3 + DNS_IPSECKEY_EDDSA_LEN] = {IPSECKEY_PRECEDENCE, DNS_IPSECKEY_GATEWAY_NONE,
                                                 DNS_IPSECKEY_ALGORITHM_EDDSA};

    memcpy(rdata + 3, key, DNS_IPSECKEY_EDDSA_LEN);
    dns_writer_raw(d, section, owner, DNS_TYPE_IPSECKEY, ttl, rdata, sizeof rdata);
}

void dns_writer_edns(struct dns_writer *d, uint16_t udp_len, bool is_dnssec_ok, unsigned rcode)
{
    if (!writer_is_ok(&d->w))
        return;
    d->w.cap = d->limit;
    d->section = DNS_SECTION_ADDITIONAL;
    writer_u8(&d->w, 0); /* the root */
    writer_u16(&d->w, DNS_TYPE_OPT);
    writer_u16(&d->w, udp_len);
    writer_u8(&d->w, (uint8_t)(rcode >> 4));
    writer_u8(&d->w, 0); /* version */
    writer_u16(&d->w, is_dnssec_ok ? 0x8000 : 0);
    writer_u16(&d->w, 0);
    d->counts[1 + DNS_SECTION_ADDITIONAL]++;
}

int dns_writer_finish(struct dns_writer *d, unsigned rcode, size_t *ret_len)
{
    uint16_t flags = (uint16_t)(d->flags | (rcode & 15) | (d->is_truncated ? DNS_FLAG_TC : 0));

    writer_patch_u16(&d->w, FLAGS_AT, flags);
    for (size_t i = 0; i < 4; i++)
        writer_patch_u16(&d->w, COUNTS_AT + 2 * i, d->counts[i]);
    if (!writer_is_ok(&d->w))
        return d->w.error;
    *ret_len = d->w.len;
    return ERR_OK;
}
