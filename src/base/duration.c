/* Durations and sizes as people write and read them. */
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *suffix;
    uint64_t us;
} units[] = {
    {"", 1000000},       {"us", 1},          {"ms", 1000},        {"s", 1000000},
    {"m", 60 * 1000000}, {"h", 3600000000u}, {"d", 86400000000u},
};

int duration_parse(const char *text, uint64_t *ret_us)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
            return ERR_INVALID;
    }
    if (at == text)
        return ERR_INVALID;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        uint64_t us;
        if (strcmp(at, units[i].suffix) != 0)
            continue;
        /* UINT64_MAX itself means "never" to deadlines. */
        if (__builtin_mul_overflow(number, units[i].us, &us) || us == UINT64_MAX)
            return ERR_INVALID;
        *ret_us = us;
        return ERR_OK;
    }
    return ERR_INVALID;
}

/* "2h 5m", and "2h" where the second part is zero. */
static void format_pair(uint64_t big, const char *big_unit, uint64_t small, const char *small_unit,
                        char *buffer, size_t cap)
{
    if (small == 0)
        snprintf(buffer, cap, "%llu%s", (unsigned long long)big, big_unit);
    else
        snprintf(buffer, cap, "%llu%s %llu%s", (unsigned long long)big, big_unit,
                 (unsigned long long)small, small_unit);
}

const char *duration_format(uint64_t us, char *buffer, size_t cap)
{
    const uint64_t seconds = us / 1000000, minutes = seconds / 60, hours = minutes / 60;
    if (us < 10000)
        snprintf(buffer, cap, "%u.%u ms", (unsigned)(us / 1000), (unsigned)(us % 1000 / 100));
    else if (us < 1000000)
        snprintf(buffer, cap, "%u ms", (unsigned)(us / 1000));
    else if (us < 10000000)
        snprintf(buffer, cap, "%u.%u s", (unsigned)seconds, (unsigned)(us % 1000000 / 100000));
    else if (minutes == 0)
        snprintf(buffer, cap, "%u s", (unsigned)seconds);
    else if (hours == 0)
        format_pair(minutes, "m", seconds % 60, "s", buffer, cap);
    else if (hours < 24)
        format_pair(hours, "h", minutes % 60, "m", buffer, cap);
    else
        format_pair(hours / 24, "d", hours % 24, "h", buffer, cap);
    return buffer;
}

const char *size_format(uint64_t bytes, char *buffer, size_t cap)
{
    static const char *const prefixes[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    if (bytes < 1000) {
        snprintf(buffer, cap, "%u B", (unsigned)bytes);
        return buffer;
    }
    /* Tenths of the unit, cut, not rounded: 999 999 stays "999.9 kB". */
    uint64_t tenths = bytes / 100;
    size_t i = 0;
    while (tenths >= 10000 && i + 1 < sizeof prefixes / sizeof prefixes[0]) {
        tenths /= 1000;
        i++;
    }
    snprintf(buffer, cap, "%u.%u %s", (unsigned)(tenths / 10), (unsigned)(tenths % 10),
             prefixes[i]);
    return buffer;
}
