/* NAT keepalives of one tunnel. */
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
