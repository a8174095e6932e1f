/* NAT keepalives of one tunnel: when, and how often. */
#include "path/keepalive.h"

#include "crypto/memory.h"

/* Up to a fifth is taken off. Without randomness the interval just isn't spread. */
static void draw(struct keepalive *keepalive)
{
    uint16_t random = 0;
    keepalive->wait_us = keepalive->interval_us;
    if (crypto_random(&random, sizeof random) == ERR_OK)
        keepalive->wait_us -= keepalive->interval_us / 5 * random / UINT16_MAX;
}

void keepalive_init(struct keepalive *keepalive, uint64_t interval_us)
{
    keepalive->interval_us = interval_us > 0 ? interval_us : KEEPALIVE_INTERVAL_US;
    keepalive->is_proven = false;
    draw(keepalive);
}

void keepalive_set_interval(struct keepalive *keepalive, uint64_t interval_us)
{
    if (interval_us == keepalive->interval_us)
        return;
    keepalive->interval_us = interval_us;
    draw(keepalive);
}

uint64_t keepalive_interval_us(uint64_t configured_us, uint64_t alive_us, uint64_t dead_us)
{
    uint64_t us = KEEPALIVE_INTERVAL_US;
    if (alive_us > 0 && (dead_us > 0 || alive_us / 2 > us))
        us = alive_us / 2;
    else if (dead_us > 0)
        us = dead_us / 4;
    if (configured_us > 0)
        us = deadline_min(us, configured_us);
    else
        us = deadline_min(us, KEEPALIVE_MOST_US);
    return us > KEEPALIVE_LEAST_US ? us : KEEPALIVE_LEAST_US;
}

void keepalive_set_proven(struct keepalive *keepalive, bool is_proven)
{
    keepalive->is_proven = is_proven;
}

uint64_t keepalive_deadline(const struct keepalive *keepalive, uint64_t last_sent_us)
{
    return keepalive->is_proven ? DEADLINE_NEVER : last_sent_us + keepalive->wait_us;
}

bool keepalive_expire(struct keepalive *keepalive, uint64_t last_sent_us, uint64_t now_us)
{
    if (keepalive_deadline(keepalive, last_sent_us) > now_us)
        return false;
    draw(keepalive);
    return true;
}
