/* The scheduler's own answer. */
#include "io/processors.h"

#include <sched.h>

unsigned processors_count(void)
{
    cpu_set_t set;

    /* More than a cpu_set_t holds is an error, and more than anybody asks for. */
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 1 ? (unsigned)count : 1;
}
