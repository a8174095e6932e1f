/* A blocking request socket to the kernel's configuration interfaces (netlink, on libmnl), with the
 * kernel's own words in the error. What the requests say is up to route, interface, nft and
 * conntrack. */
#ifndef IO_NETLINK_H
#define IO_NETLINK_H

#include "base/error.h"
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mnl_socket;

#define NETLINK_REQUEST_CAP 8192
#define NETLINK_MESSAGE_CAP 160

/* One socket, used by one thread. */
struct netlink {
    struct mnl_socket *socket;
    uint32_t port_id;
    uint32_t sequence;
    bool has_secrets;                  /* its answers are wiped: SAs come with their keys */
    int error_number;                  /* errno of the last failure */
    char message[NETLINK_MESSAGE_CAP]; /* its text */
    uint64_t request[NETLINK_REQUEST_CAP / 8];
};

/* Takes one message of an answer: ERR_OK to go on; anything else is what netlink_query returns once
 * the answer has been read to its end. */
typedef int netlink_take(const struct nlmsghdr *message, void *context);

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER or NETLINK_XFRM. Requests that the kernel leaves
 * unanswered end with ERR_TIMEOUT after 5 s. ERR_IO, ERR_UNSUPPORTED: the kernel lacks the
 * protocol. */
MUST_USE int netlink_open(struct netlink *nl, int protocol);
/* Also for one that was never opened but zero-initialised. */
void netlink_close(struct netlink *nl);
/* Starts a request in nl's own buffer, with the family's fixed header of extra_len bytes zeroed
 * behind the netlink header (mnl_nlmsg_get_payload). flags: NLM_F_REQUEST and NLM_F_ACK come by
 * themselves. */
struct nlmsghdr *netlink_begin(struct netlink *nl, uint16_t type, uint16_t flags, size_t extra_len);
/* Sends the request and waits for the acknowledgement. ERR_EXISTS, ERR_NOT_FOUND (ENOENT, ESRCH,
 * ENODEV, EADDRNOTAVAIL, ENXIO), ERR_UNSUPPORTED, ERR_REFUSED (no permission), ERR_TIMEOUT, else
 * ERR_IO. */
MUST_USE int netlink_request(struct netlink *nl, struct nlmsghdr *request);
/* As netlink_request, and gives every message of the answer (one, or a dump if NLM_F_DUMP is set)
 * to take. A dump that changed under the kernel's hands is an ERR_AGAIN. */
MUST_USE int netlink_query(struct netlink *nl, struct nlmsghdr *request, netlink_take *take,
                           void *context);
/* The last failure: system error and the kernel's explanation if it gave one. Never NULL. */
const char *netlink_error(const struct netlink *nl);

/* For the neighbours in this folder. */

/* Maps errno values to enum error as described above. */
int netlink_error_of(int error_number);
/* Notes a failure with its text: what (may be NULL) stands in front, explanation (may be NULL)
 * behind. Returns netlink_error_of(error_number). */
int netlink_fail(struct netlink *nl, int error_number, const char *what, const char *explanation);
/* The explanation (NLMSGERR_ATTR_MSG) in an NLMSG_ERROR message; NULL if there is none. Points into
 * it. */
const char *netlink_explanation(const struct nlmsghdr *message);

#endif
