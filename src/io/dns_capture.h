/* The redirect of this host's own DNS queries to a local listener of the daemon, made so that it
 * cannot outlive a working daemon: the table belongs to a socket (it vanishes when the daemon dies,
 * however), and it redirects only while elements with a kernel-side timeout are alive, which the
 * daemon refreshes (it stops by itself when the daemon is stopped, frozen or stuck).
 *
 * Not captured: sockets bound to a device (SO_BINDTODEVICE): their redirected packets cannot be
 * routed to lo, so such queries fail while the capture is on. */
#ifndef IO_DNS_CAPTURE_H
#define IO_DNS_CAPTURE_H

#include "io/nft.h"
#include <stdint.h>

#define DNS_CAPTURE_ALIVE_MS   2000 /* how long one refresh lasts */
#define DNS_CAPTURE_REFRESH_MS 500  /* how often to refresh */

struct dns_capture_options {
    const char *table;    /* e.g. "detec-dns" */
    const char *tun_name; /* queries through it (to peers) are left alone */
    uint16_t port;        /* of the listeners: UDP and TCP, on 127.0.0.1 and ::1 */
    uint32_t mark;        /* SO_MARK of the daemon's own queries; not 0 */
};

struct dns_capture {
    struct nft nft;
};

/* Makes the table; nothing is redirected before the first refresh. ERR_EXISTS: another daemon has
 * one of that name; ERR_UNSUPPORTED: the kernel has no nf_tables with owned tables (Linux 5.12), or
 * lacks a part (dns_capture_error says which). */
MUST_USE int dns_capture_open(struct dns_capture *capture,
                              const struct dns_capture_options *options);
/* New connections to port 53 are redirected for another DNS_CAPTURE_ALIVE_MS. Call it only while
 * queries are really being answered. */
MUST_USE int dns_capture_refresh(struct dns_capture *capture);
/* Stops redirecting at once, until the next refresh. Connections that were redirected still are:
 * conntrack_release_redirected. */
MUST_USE int dns_capture_pause(struct dns_capture *capture);
/* Removes the table. Also for a zero-initialised one. */
void dns_capture_close(struct dns_capture *capture);
/* Why the last call failed; never NULL. */
const char *dns_capture_error(const struct dns_capture *capture);

#endif
