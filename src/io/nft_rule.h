/* The expressions of nf_tables rules: between nft_rule_begin and nft_rule_end, in the order in
 * which the kernel is to try them; the first that does not match ends the rule. */
#ifndef IO_NFT_RULE_H
#define IO_NFT_RULE_H

#include "base/address.h"
#include "io/nft.h"
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void nft_rule_begin(struct nft *nft, const char *chain);
void nft_rule_end(struct nft *nft);

/* Registers of 4 bytes, 0 to 15; longer values and concatenations take the following ones too. */
void nft_load_meta(struct nft *nft, unsigned reg, enum nft_meta_keys key);
void nft_load_payload(struct nft *nft, unsigned reg, enum nft_payload_bases base, uint32_t offset,
                      uint32_t len);
/* Source or destination address of the packet, of that family: see nft_match_family. */
void nft_load_address(struct nft *nft, unsigned reg, enum address_family family, bool is_source);
/* Destination port of TCP, UDP, SCTP, DCCP, UDP-Lite: 2 bytes. */
void nft_load_port(struct nft *nft, unsigned reg);

void nft_compare(struct nft *nft, unsigned reg, bool is_equal, const void *data, size_t len);
/* Is the value at reg in the set? */
void nft_lookup(struct nft *nft, unsigned reg, const char *set, bool is_in);

/* What most rules are made of; register 0 is used. */
void nft_match_family(struct nft *nft, enum address_family family);
void nft_match_in(struct nft *nft, const char *interface, bool is_equal);
void nft_match_out(struct nft *nft, const char *interface, bool is_equal);
void nft_match_mark(struct nft *nft, uint32_t mark, bool is_equal);
void nft_match_protocol(struct nft *nft, uint8_t protocol);
void nft_match_port(struct nft *nft, uint16_t port);
/* TCP with the SYN flag, or without it. */
void nft_match_tcp_syn(struct nft *nft, bool is_syn);
/* The packet's family must have been matched before. */
void nft_match_address(struct nft *nft, const struct prefix *prefix, bool is_source, bool is_equal);

enum nft_state { /* as NF_CT_STATE_BIT() has it */
                 NFT_STATE_INVALID = 1,
                 NFT_STATE_ESTABLISHED = 2,
                 NFT_STATE_RELATED = 4,
                 NFT_STATE_NEW = 8,
};
/* Is the connection in one of these states? */
void nft_match_state(struct nft *nft, uint32_t states);

/* Before connection tracking (priority below -200): the connection's packets in this direction are
 * tracked apart from those of other zones; what comes back is not. */
void nft_set_original_zone(struct nft *nft, uint16_t zone);
/* Counts in a named counter (nft_counter_add). */
void nft_count(struct nft *nft, const char *counter);
/* NF_ACCEPT, NF_DROP or an enum nft_verdicts. */
void nft_verdict(struct nft *nft, int verdict);
/* nat chains, hooks prerouting and output: to that port of this host. */
void nft_redirect(struct nft *nft, uint16_t port);
/* nat chains, hook postrouting: from the address of the interface it leaves by. */
void nft_masquerade(struct nft *nft);

#endif
