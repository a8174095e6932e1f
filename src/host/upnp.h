/* A port mapping by UPnP: runs helper processes (upnp_helper.h) that make, renew and delete it. */
#ifndef HOST_UPNP_H
#define HOST_UPNP_H

#include "base/address.h"
#include "host/task.h"
#include "host/upnp_helper.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct host;

enum upnp_job { UPNP_JOB_NONE, UPNP_JOB_MAP, UPNP_JOB_UNMAP };

/* All zero is one that has not been asked for anything. */
struct upnp {
    struct host *host;
    void (*on_change)(struct upnp *upnp, uint64_t now_us);
    struct address gateway, local;
    struct task task; /* renewal, next try; a running helper's end */
    bool is_wanted;
    bool is_mapped;
    struct endpoint external;
    uint64_t expires_us; /* DEADLINE_NEVER: a gateway without leases */
    char url[UPNP_URL_CAP];
    char error[96];
    /* the helper that runs */
    enum upnp_job job;
    bool is_cancelled;
    uv_process_t process;
    uv_pipe_t pipe;
    unsigned handles; /* not yet closed */
    char report[UPNP_REPORT_CAP];
    size_t report_len;
};

/* Begins to map at that gateway; a mapping at another one is forgotten. on_change is called when
 * what the members say has changed. */
void upnp_start(struct upnp *upnp, const struct address *gateway, const struct address *local,
                uint64_t now_us);
/* Deletes the mapping if there is one, in the background, and makes no more. */
void upnp_stop(struct upnp *upnp, uint64_t now_us);
/* Kills a helper that runs, for upnp_is_idle soon; the loop must run until then. */
void upnp_kill(struct upnp *upnp);
/* No helper runs: the loop may end, the memory may go. */
bool upnp_is_idle(const struct upnp *upnp);

/* For tests: what a helper reported about a mapping; ERR_INVALID unless it is exactly that. */
MUST_USE int upnp_report_parse(const char *report, const struct address *gateway,
                               struct endpoint *ret_external, uint32_t *ret_lease_s,
                               char ret_url[UPNP_URL_CAP]);

#endif
