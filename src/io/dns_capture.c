/* As nft(8) would have it:
 *
 *   table inet NAME {
 *     flags owner
 *     set alive { type inet_proto; timeout 2s; }            # udp and tcp, while the daemon is well
 *     chain apart {
 *       type filter hook output priority raw
 *       meta mark M th dport 53 ct original zone set Z      # see below
 *     }
 *     chain output {
 *       type nat hook output priority dstnat
 *       meta mark M accept
 *       oifname TUN accept
 *       tcp flags & syn == 0 accept                         # see below
 *       meta l4proto @alive th dport 53 redirect to :PORT
 *     }
 *   }
 */
#include "io/dns_capture.h"

#include "io/nft_rule.h"
#include <netinet/in.h>

#define DNS_PORT        53
#define PRIORITY_DSTNAT (-100)
#define PRIORITY_RAW    (-300)
#define OWN_ZONE        32589 /* any but 0 */

static const char alive[] = "alive";
static const char output[] = "output";
static const char apart[] = "apart";

int dns_capture_open(struct dns_capture *capture, const struct dns_capture_options *options)
{
    const struct nft_set set = {
        .name = alive, .fields = {NFT_FIELD_PROTOCOL}, .timeout_ms = DNS_CAPTURE_ALIVE_MS};
    const struct nft_chain chain = {
        .name = output, .type = "nat", .hook = NF_INET_LOCAL_OUT, .priority = PRIORITY_DSTNAT};
    const struct nft_chain early = {
        .name = apart, .type = "filter", .hook = NF_INET_LOCAL_OUT, .priority = PRIORITY_RAW};
    struct nft *nft = &capture->nft;
    int error;

    if (options->mark == 0 || options->port == 0 || options->tun_name[0] == 0)
        return ERR_INVALID;
    error = nft_open(nft, options->table);
    if (error < 0)
        return error;
    nft_begin(nft);
    nft_table_add(nft, NFT_OWNED, true);
    nft_set_add(nft, &set);
    nft_chain_add(nft, &chain);
    nft_chain_add(nft, &early);

    /* Only the first packet of a connection is looked at by the chain below. A query of the
     * daemon's own leaves a connection that is not redirected; an application's socket that is
     * given the same port soon after would continue it, past the capture, and the other way round.
     */
    nft_rule_begin(nft, apart);
    nft_match_mark(nft, options->mark, true);
    nft_match_port(nft, DNS_PORT);
    nft_set_original_zone(nft, OWN_ZONE);
    nft_rule_end(nft);

    nft_rule_begin(nft, output);
    nft_match_mark(nft, options->mark, true);
    nft_verdict(nft, NF_ACCEPT);
    nft_rule_end(nft);

    nft_rule_begin(nft, output);
    nft_match_out(nft, options->tun_name, true);
    nft_verdict(nft, NF_ACCEPT);
    nft_rule_end(nft);

    /* A connection older than the capture is new to connection tracking where nothing tracked it
     * before; redirected in its middle it would be reset. */
    nft_rule_begin(nft, output);
    nft_match_tcp_syn(nft, false);
    nft_verdict(nft, NF_ACCEPT);
    nft_rule_end(nft);

    nft_rule_begin(nft, output);
    nft_load_meta(nft, 0, NFT_META_L4PROTO);
    nft_lookup(nft, 0, alive, true);
    nft_match_port(nft, DNS_PORT);
    nft_redirect(nft, options->port);
    nft_rule_end(nft);
    error = nft_commit(nft);
    if (error < 0)
        nft_close(nft);
    return error;
}

int dns_capture_refresh(struct dns_capture *capture)
{
    static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP};
    struct nft *nft = &capture->nft;
    size_t i;

    /* Only recent kernels let an element's timeout be changed; flushing an empty set is no error.
     * The switch is atomic: no query slips through in between. */
    nft_begin(nft);
    nft_set_flush(nft, alive);
    for (i = 0; i < sizeof protocols; i++)
        nft_element_add(nft, alive, &protocols[i], 1, DNS_CAPTURE_ALIVE_MS);
    return nft_commit(nft);
}

int dns_capture_pause(struct dns_capture *capture)
{
    nft_begin(&capture->nft);
    nft_set_flush(&capture->nft, alive);
    return nft_commit(&capture->nft);
}

void dns_capture_close(struct dns_capture *capture)
{
    nft_close(&capture->nft);
}

const char *dns_capture_error(const struct dns_capture *capture)
{
    return nft_error(&capture->nft);
}
