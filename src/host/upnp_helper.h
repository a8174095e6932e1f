/* The process that speaks UPnP for the daemon: SSDP and XML from the LAN are hostile input, taken
 * by a library, so it happens outside the daemon, confined, without keys, and is killed when it
 * takes too long. One run does one thing and reports one line. */
#ifndef HOST_UPNP_HELPER_H
#define HOST_UPNP_HELPER_H

#include "base/address.h"
#include <stdbool.h>

#define UPNP_HELPER_OPTION "--upnp-helper" /* as the only first word of detecd's command line */
#define UPNP_REPORT_FD     3               /* the report goes there */
#define UPNP_REPORT_CAP    512             /* a line is shorter */
#define UPNP_URL_CAP       256
#define UPNP_LEASE_S       3600

/* What the daemon asks for, as words behind the option:
 *   map GATEWAY LOCAL PORT EXTERNAL-PORT URL     (URL "": look for the gateway first)
 *   unmap GATEWAY LOCAL PORT EXTERNAL-PORT URL
 * The report is "mapped ADDRESS PORT LEASE URL" (lease 0: for ever), "unmapped", or "error TEXT".
 */
int upnp_helper_main(int argc, char **argv);

/* "http://GATEWAY:PORT/…": nobody but the gateway is talked to, whatever devices and descriptions
 * say. */
bool upnp_url_is_at(const char *url, const struct address *gateway);

#endif
