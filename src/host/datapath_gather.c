/* Packets of local applications come from the TUN one by one, each for another of thousands of
 * tunnels, perhaps. While the next is read, what the ones before will need is on its way from
 * memory; they are sealed when no more wait, and nobody waits for others to come. */
#include "host/datapath_internal.h"

bool gather_add(struct datapath *dp, struct packet *packet)
{
    if (!tunnel_table_is_large(dp->config.tunnels))
        return false;
    tunnel_look_ahead_out(dp->config.tunnels, &dp->gathered, packet);
    if (dp->gathered.count == LOOK_AHEAD_MAX)
        gather_flush(dp);
    return true;
}

void gather_flush(struct datapath *dp)
{
    struct look_ahead *gathered = &dp->gathered;
    tunnel_look_ahead_end(dp->config.tunnels, gathered);
    for (unsigned i = 0; i < gathered->count; i++)
        outbound(dp, gathered->packets[i]);
    gathered->count = 0;
}
