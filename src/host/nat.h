/* What this host knows of its own NAT: whether it gives every destination another port, and in what
 * order (struct port_pattern). Learnt from the own zone's connector after each log-in and change of
 * the public address; ports in order are asked for anew right before each call. */
#ifndef HOST_NAT_H
#define HOST_NAT_H

#include "host/task.h"
#include "path/behaviour.h"
#include "wire/notify.h"

struct host;
struct nat;

/* For who wants to say what the NAT will do next: run is called once, when that is known. */
struct nat_wait {
    struct nat_wait *next;
    bool is_waiting;
    void (*run)(struct nat_wait *wait, uint64_t now_us);
};

/* Ends whatever goes on, and forgets. Those that wait are not called. */
void nat_free(struct host *host);
/* The own zone's connector may be asked there: begins, where nothing is known yet. */
void nat_on_server(struct host *host, const struct endpoint *server, uint64_t now_us);
/* It sees us there over IPv4: asks it, unless that was done just now. */
void nat_on_public(struct host *host, const struct endpoint *server, const struct endpoint *seen,
                   uint64_t now_us);
/* Kind NONE where nothing is known. */
void nat_pattern(const struct host *host, struct port_pattern *ret_pattern);
/* The last run's result; NULL: none. */
const struct behaviour_result *nat_result(const struct host *host);
/* Strangers' packets, asked for again later, may come in only because we have asked the connector's
 * second address something meanwhile: what was found out before that, where it was stricter. */
enum behaviour_kind nat_correct_filtering(const struct host *host, enum behaviour_kind filtering);
/* Nothing else should be asked of the connector's second address meanwhile. */
bool nat_is_learning(const struct host *host);
/* Will what we send to a stranger leave from another port than the one that the connector sees, for
 * all that is known? True also as long as that is being found out, unless the NAT has left our port
 * as it is. */
bool nat_may_map_anew(const struct host *host);
/* True: it has to be asked which port the NAT gave out last; run follows within NAT_WAIT_US. Where
 * nothing carries data until there is a direct path (is_all), what the NAT is like is waited for
 * too, for NAT_LEARN_US or a quarter of an attempt at most. False: what nat_pattern says is as good
 * as it gets. */
bool nat_wait(struct host *host, struct nat_wait *wait, bool is_all, uint64_t now_us);
#define NAT_WAIT_US  (400 * MS_US)
#define NAT_LEARN_US (1500 * MS_US)
void nat_wait_cancel(struct host *host, struct nat_wait *wait);
/* The same for a CALL: true: call_on_call is called again with it, later. */
bool nat_defer_call(struct host *host, const struct notify_call *notify, uint64_t now_us);

#endif
