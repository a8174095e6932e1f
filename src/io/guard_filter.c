/* As nft(8) would have it, a rule a prefix:
 *
 *   table inet NAME {
 *     flags owner,persist
 *     counter stopped { }
 *     chain postrouting {
 *       type filter hook postrouting priority filter - 150
 *       oifname != TUN oifname != lo ip daddr PREFIX counter name stopped drop
 *     }
 *   }
 */
#include "io/guard_filter.h"

#include "io/nft_rule.h"
#include <string.h>

#define PRIORITY (-150)

static const char postrouting[] = "postrouting";
static const char stopped[] = "stopped";

int guard_filter_open(struct guard_filter *filter, const char *table, const struct guard *guard,
                      const char *tun_name)
{
    memset(filter, 0, sizeof *filter);
    if (tun_name[0] == 0 || strlen(tun_name) >= sizeof filter->tun_name)
        return ERR_INVALID;
    filter->guard = *guard;
    memcpy(filter->tun_name, tun_name, strlen(tun_name));
    return nft_open(&filter->nft, table);
}

static int install(struct guard_filter *filter, unsigned flags)
{
    const struct nft_chain chain = {
        .name = postrouting, .type = "filter", .hook = NF_INET_POST_ROUTING, .priority = PRIORITY};
    struct nft *nft = &filter->nft;
    size_t i;

    nft_begin(nft);
    nft_table_add(nft, flags, false);
    nft_counter_add(nft, stopped);
    nft_chain_add(nft, &chain);
    nft_chain_flush(nft, postrouting);
    for (i = 0; i < filter->guard.count; i++) {
        const struct prefix *prefix = &filter->guard.prefixes[i];

        nft_rule_begin(nft, postrouting);
        nft_match_out(nft, filter->tun_name, false);
        nft_match_out(nft, "lo", false);
        nft_match_family(nft, prefix->address.family);
        nft_match_address(nft, prefix, false, true);
        nft_count(nft, stopped);
        nft_verdict(nft, NF_DROP);
        nft_rule_end(nft);
    }
    return nft_commit(nft);
}

int guard_filter_install(struct guard_filter *filter)
{
    int error = install(filter, filter->is_plain ? 0 : NFT_OWNED | NFT_PERSISTENT);

    if (error == ERR_OK || filter->is_plain)
        return error;
    /* An older kernel; or a table that is not ours, which then refuses this as well. */
    if (install(filter, 0) < 0)
        return error;
    filter->is_plain = true;
    return ERR_OK;
}

int guard_filter_is_intact(struct guard_filter *filter, bool *ret_is_intact)
{
    unsigned count = 0;
    int error = nft_rule_count(&filter->nft, &count);

    if (error < 0 && error != ERR_NOT_FOUND)
        return error;
    *ret_is_intact = error == ERR_OK && count == filter->guard.count;
    return ERR_OK;
}

int guard_filter_remove(struct guard_filter *filter)
{
    int error;

    nft_begin(&filter->nft);
    nft_table_delete(&filter->nft);
    error = nft_commit(&filter->nft);
    return error == ERR_NOT_FOUND ? ERR_OK : error;
}

void guard_filter_close(struct guard_filter *filter)
{
    nft_close(&filter->nft);
}

const char *guard_filter_error(const struct guard_filter *filter)
{
    return nft_error(&filter->nft);
}
