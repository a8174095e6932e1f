/* A small builder of nf_tables transactions (nft(8) in netlink form, on libmnl): one table of
 * family inet per struct nft, changed in batches that the kernel takes as a whole or not at all.
 * The expressions of rules are in nft_rule.h.
 *
 * Between nft_begin and nft_commit errors are sticky: build straight through, check the commit. */
#ifndef IO_NFT_H
#define IO_NFT_H

#include "io/netlink.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NFT_NAME_CAP  32
#define NFT_BATCH_CAP 65536 /* bytes of one transaction; an element takes about 100 */

struct nlattr;

/* One socket, used by one thread. Tables made with NFT_OWNED die with the socket. */
struct nft {
    struct netlink netlink;
    char table[NFT_NAME_CAP];
    uint8_t *batch;
    size_t len;
    struct nlmsghdr *message; /* being built; NULL between */
    struct nlattr *expressions;
    uint32_t first_sequence;
    uint32_t set_count;
    int error;
};

/* ERR_UNSUPPORTED: the kernel has no nf_tables; ERR_NOMEM, ERR_IO. */
MUST_USE int nft_open(struct nft *nft, const char *table);
/* Owned tables vanish here. Also for a zero-initialised one. */
void nft_close(struct nft *nft);

/* Starts a transaction; an uncommitted one is forgotten. */
void nft_begin(struct nft *nft);
/* Sends it. On failure nothing has changed and nft_error says which part of it the kernel refused
 * and why. ERR_FULL: more than NFT_BATCH_CAP; else as netlink_request. */
MUST_USE int nft_commit(struct nft *nft);
/* Never NULL. */
const char *nft_error(const struct nft *nft);

enum nft_table_flag {
    NFT_OWNED = 2, /* only this socket may change it; dies with it (Linux 5.12) */
    NFT_PERSISTENT =
        4, /* with NFT_OWNED: stays when its owner dies, may then be owned anew (6.9) */
};

/* is_new: fails with ERR_EXISTS if there is one of that name. */
void nft_table_add(struct nft *nft, unsigned flags, bool is_new);
void nft_table_delete(struct nft *nft);

struct nft_chain {
    const char *name;
    const char *type; /* "filter", "nat"; NULL: not a base chain */
    uint32_t hook;    /* NF_INET_… */
    int32_t priority;
    bool is_drop; /* the policy: drop instead of accept */
};
void nft_chain_add(struct nft *nft, const struct nft_chain *chain);
void nft_chain_flush(struct nft *nft, const char *chain);

/* Parts of set keys. Each takes its length rounded up to 4 bytes. */
enum nft_field {
    NFT_FIELD_NONE = 0,
    NFT_FIELD_IPV4 = 7,      /* 4 bytes */
    NFT_FIELD_IPV6 = 8,      /* 16 */
    NFT_FIELD_PROTOCOL = 12, /* 1 */
    NFT_FIELD_PORT = 13,     /* 2, network order */
};
#define NFT_FIELDS 4
struct nft_set {
    const char *name;
    uint8_t fields[NFT_FIELDS]; /* enum nft_field, concatenated; NFT_FIELD_NONE ends */
    uint32_t timeout_ms;        /* of elements that name none; 0: for ever */
    bool has_timeout;           /* elements may have their own */
};
void nft_set_add(struct nft *nft, const struct nft_set *set);
/* key: the fields, each padded with zero bytes. timeout_ms 0: the set's. */
void nft_element_add(struct nft *nft, const char *set, const void *key, size_t key_len,
                     uint32_t timeout_ms);
/* Fails the transaction (ERR_NOT_FOUND) if it is not there. */
void nft_element_delete(struct nft *nft, const char *set, const void *key, size_t key_len);
/* Takes all elements out. */
void nft_set_flush(struct nft *nft, const char *set);

void nft_counter_add(struct nft *nft, const char *name);

/* Questions, asked at once. */
MUST_USE int nft_counter_read(struct nft *nft, const char *name, uint64_t *ret_packets);
/* Rules in the table; ERR_NOT_FOUND if there is no such table. */
MUST_USE int nft_rule_count(struct nft *nft, unsigned *ret_count);

/* For nft_rule.c: the room left behind the message being built, checked attribute putters. */
bool nft_has_room(struct nft *nft, size_t len);
void nft_message_begin(struct nft *nft, uint16_t type, uint16_t flags);
void nft_message_end(struct nft *nft);
void nft_put(struct nft *nft, uint16_t type, const void *data, size_t len);
void nft_put_u32(struct nft *nft, uint16_t type, uint32_t value); /* as big-endian */
void nft_put_u64(struct nft *nft, uint16_t type, uint64_t value);
void nft_put_text(struct nft *nft, uint16_t type, const char *text);
/* NULL without room: nft_nest_end takes that. */
struct nlattr *nft_nest_begin(struct nft *nft, uint16_t type);
void nft_nest_end(struct nft *nft, struct nlattr *nest);

#endif
