/* The HTTP proxy that the configuration or the environment names: where it is. */
#ifndef HOST_PROXY_H
#define HOST_PROXY_H

#include "base/address.h"

struct host;
struct proxy_search;

/* proxy: NULL where its name has no address. Called once, never from within proxy_search_start. */
typedef void proxy_search_done(void *context, const struct endpoint *proxy);

/* Where the proxy of the configuration is. A proxy that is given by its address is told at once in
 * *ret_proxy, with *ret_search NULL and no call of done; else *ret_proxy stays as it is. */
MUST_USE int proxy_search_start(struct host *host, proxy_search_done *done, void *context,
                                struct endpoint *ret_proxy, struct proxy_search **ret_search);
/* `done` will not be called any more. NULL is fine. */
void proxy_search_cancel(struct proxy_search *search);

#endif
