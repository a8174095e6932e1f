/* The way to a connector: the race of connections over its addresses, ports and modes (in the
 * manner of RFC 8305), until IKE answers on one of them. That TCP connects proves nothing: there
 * are boxes that accept it and swallow what follows. Better ways go first, or the one that worked
 * last. What comes after the first answer is the session's. */
#ifndef HOST_DIAL_H
#define HOST_DIAL_H

#include "host/carrier.h"

struct ike_sa;
struct session;

#define DIAL_PORT        443 /* of connectors, where networks let nothing else out */
#define DIAL_TEXT_CAP    (HTTP_PROXY_TEXT_CAP + 32)
#define DIAL_STEP_US     (250 * MS_US)    /* between attempts (RFC 8305, 5), and more: */
#define DIAL_STEP_MAX_US SECOND_US        /* twice what TCP took, up to this, for one that has it */
#define DIAL_RACE_US     (10 * SECOND_US) /* from the last attempt's begin: then it has failed */
#define DIAL_AGAIN_US    SECOND_US        /* all have failed, DNS is still asked: anew after this */
#define DIAL_PROVE_US    (3 * SECOND_US)  /* from the first answer to an authenticated SA */
#define DIAL_NAME_US     SECOND_US        /* DNS gets this long before a proxy is asked by name */
#define DIAL_MEMORY_US   (600 * SECOND_US) /* a worse way goes first for so long; then the best */

/* In the order of preference. */
enum dial_mode {
    DIAL_TCP, /* the port that DNS or the configuration gives */
    DIAL_TCP_443,
    DIAL_TLS_443,
    DIAL_PROXY_TLS, /* CONNECT to port 443, TLS in it: what proxies let pass */
    DIAL_PROXY_TCP, /* CONNECT to the connector's own port */
};

struct dial;

MUST_USE int dial_new(struct session *session, struct dial **ret_dial);
/* NULL is fine. */
void dial_free(struct dial *dial);
/* A new race without any address yet. */
void dial_start(struct dial *dial, uint64_t now_us);
/* More addresses of the connector, in the order to try them; those known already count once. */
void dial_add(struct dial *dial, const struct endpoint *connectors, size_t count, uint64_t now_us);
/* No more addresses will come; why: what DNS said where it gave none, else NULL. */
void dial_complete(struct dial *dial, const char *why, uint64_t now_us);
/* More waits for the session: goes along on the connections on which IKE is not answered yet. */
void dial_add_early(struct dial *dial, uint64_t now_us);
/* The way that the session took has failed before it was authenticated: the others go on. false:
 * there are none left. */
bool dial_go_on(struct dial *dial, const char *why, uint64_t now_us);
/* The way that the session took leads to the connector: the race is over. */
void dial_confirm(struct dial *dial, uint64_t now_us);
/* Lets go of all connections but the one that the session has taken. */
void dial_stop(struct dial *dial);
/* The network has changed: what worked before says nothing. */
void dial_forget(struct dial *dial);
/* "tcp 4500", "tls 443 via http://proxy.example:3128": of the way that was taken last; "" before.
 */
const char *dial_format(const struct dial *dial, char ret_text[DIAL_TEXT_CAP]);
/* A phrase for why the race was lost. */
const char *dial_error(const struct dial *dial);

#endif
