/* Silence after large packets, life in small ones: once more the next size. */
#include "path/mtu_steps.h"

#include <stddef.h>

/* Few: each costs a second or more. Others' tunnels, IPv6's least, and what is left of that. */
static const uint32_t SIZES[] = {1400, 1280, MTU_STEPS_MIN};

void mtu_steps_init(struct mtu_steps *steps, uint32_t mtu)
{
    *steps = (struct mtu_steps){.mtu = mtu};
}

void mtu_steps_on_hint(struct mtu_steps *steps, uint32_t size)
{
    if (size >= MTU_STEPS_MIN && size < steps->mtu)
        steps->hint = size;
}

void mtu_steps_on_limit(struct mtu_steps *steps, uint32_t size)
{
    const uint32_t mtu = size > MTU_STEPS_MIN ? size : MTU_STEPS_MIN;
    if (mtu < steps->mtu)
        steps->mtu = mtu;
}

static bool lower(struct mtu_steps *steps)
{
    const uint32_t before = steps->mtu;
    if (steps->hint != 0 && steps->hint < steps->mtu)
        steps->mtu = steps->hint;
    for (size_t i = 0; steps->mtu == before && i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        if (SIZES[i] < before)
            steps->mtu = SIZES[i];
    steps->hint = 0;
    return steps->mtu != before;
}

static void forget(struct mtu_steps *steps)
{
    steps->suspect_us = steps->asked_us = 0;
}

enum mtu_step mtu_steps_judge(struct mtu_steps *steps, const struct mtu_evidence *evidence,
                              uint64_t now_us)
{
    uint64_t silence_us = 3 * evidence->round_trip_us;
    if (silence_us < MTU_STEPS_SILENCE_US)
        silence_us = MTU_STEPS_SILENCE_US;
    if (evidence->large_us == 0 || evidence->heard_us >= evidence->large_us ||
        steps->mtu <= MTU_STEPS_MIN) {
        forget(steps);
        return MTU_STEP_REST;
    }
    if (steps->suspect_us == 0 || evidence->heard_us > steps->suspect_us) {
        forget(steps);
        steps->suspect_us = now_us;
        return MTU_STEP_WAIT;
    }
    /* Sent once, it may have been lost by chance, or wanted no answer; TCP sends again. */
    if (now_us - steps->suspect_us < silence_us || evidence->large_us <= steps->suspect_us)
        return MTU_STEP_WAIT;
    if (steps->asked_us == 0) {
        steps->asked_us = now_us;
        return MTU_STEP_ASK;
    }
    if (evidence->alive_us <= steps->asked_us)
        return MTU_STEP_WAIT;
    forget(steps);
    return lower(steps) ? MTU_STEP_LOWER : MTU_STEP_REST;
}
