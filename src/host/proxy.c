/* See host/proxy.h. */
#include "host/proxy.h"

#include "host/host.h"
#include "host/lookup.h"
#include "names/lookup.h"
#include "wire/dns.h"
#include <stdlib.h>

struct proxy_search {
    struct host *host;
    proxy_search_done *done;
    void *context;
    struct lookup *lookups[2]; /* A, AAAA */
    struct address addresses[2];
};

/* Both are in; IPv4 first: proxies stand in the own network, where it is the likelier one. */
static void conclude(struct proxy_search *search)
{
    struct endpoint proxy = {.port = search->host->config.proxy.endpoint.port};
    proxy_search_done *done = search->done;
    void *context = search->context;
    if (search->lookups[0] != NULL || search->lookups[1] != NULL)
        return;
    for (size_t i = 2; i-- > 0;) {
        if (search->addresses[i].family != ADDRESS_NONE)
            proxy.address = search->addresses[i];
    }
    proxy_search_cancel(search);
    done(context, proxy.address.family != ADDRESS_NONE ? &proxy : NULL);
}

static void take(struct proxy_search *search, size_t index, uint16_t type, const uint8_t *answer,
                 size_t len)
{
    struct lookup_addresses addresses;
    search->lookups[index] = NULL;
    if (answer != NULL && lookup_parse_addresses(answer, len, search->host->config.proxy.name, type,
                                                 &addresses) == ERR_OK)
        search->addresses[index] = addresses.items[0];
    conclude(search);
}

static void on_ipv4(void *context, int error, const uint8_t *answer, size_t len)
{
    take(context, 0, DNS_TYPE_A, answer, len);
}

static void on_ipv6(void *context, int error, const uint8_t *answer, size_t len)
{
    take(context, 1, DNS_TYPE_AAAA, answer, len);
}

int proxy_search_start(struct host *host, proxy_search_done *done, void *context,
                       struct endpoint *ret_proxy, struct proxy_search **ret_search)
{
    const struct http_proxy *proxy = &host->config.proxy;
    *ret_search = NULL;
    if (proxy->name[0] == '\0') {
        *ret_proxy = proxy->endpoint;
        return ERR_OK;
    }
    struct proxy_search *search = calloc(1, sizeof(*search));
    if (search == NULL)
        return ERR_NOMEM;
    search->host = host;
    search->done = done;
    search->context = context;
    int error = lookup_start(&host->loop, HOST_MARK, proxy->name, DNS_TYPE_A, on_ipv4, search,
                             &search->lookups[0]);
    if (error == ERR_OK)
        error = lookup_start(&host->loop, HOST_MARK, proxy->name, DNS_TYPE_AAAA, on_ipv6, search,
                             &search->lookups[1]);
    if (error != ERR_OK) {
        proxy_search_cancel(search);
        return error;
    }
    *ret_search = search;
    return ERR_OK;
}

void proxy_search_cancel(struct proxy_search *search)
{
    if (search == NULL)
        return;
    lookup_cancel(search->lookups[0]);
    lookup_cancel(search->lookups[1]);
    free(search);
}
