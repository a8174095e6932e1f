/* Numbers and times for people. */
#include "cli/format.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* Beyond it a double stops being a whole number, and no time or count is meant. */
#define NUMBER_MAX 9e15

const char *format_get_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

bool format_get_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

double format_get_number(const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);
    const double number = json_number_value(value);
    return json_is_number(value) && number >= 0 && number <= NUMBER_MAX ? number : fallback;
}

uint64_t format_get_count(const json_t *object, const char *key)
{
    return (uint64_t)format_get_number(object, key, 0);
}

bool format_has(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return value != NULL && !json_is_null(value);
}

const char *format_ms(double ms, char *buffer)
{
    if (ms >= 9999.5)
        return format_seconds(ms / 1000, buffer);
    if (ms >= 999.5)
        snprintf(buffer, FORMAT_CAP, "%.2f s", ms / 1000);
    else
        snprintf(buffer, FORMAT_CAP,
                 ms < 9.995   ? "%.2f ms"
                 : ms < 99.95 ? "%.1f ms"
                              : "%.0f ms",
                 ms);
    return buffer;
}

const char *format_seconds(double seconds, char *buffer)
{
    /* Below a minute duration_format shows more digits than the daemon gave. */
    if (seconds < 60)
        snprintf(buffer, FORMAT_CAP, "%u s", (unsigned)seconds);
    else
        duration_format((uint64_t)seconds * 1000000, buffer, FORMAT_CAP);
    return buffer;
}

const char *format_bytes(uint64_t bytes, char *buffer)
{
    return size_format(bytes, buffer, FORMAT_CAP);
}

const char *format_count(uint64_t count, char *buffer)
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    size_t out = 0;
    for (int i = 0; i < len; i++) {
        /* Four digits are read at a glance. */
        if (len > 4 && i > 0 && (len - i) % 3 == 0)
            buffer[out++] = ' ';
        buffer[out++] = digits[i];
    }
    buffer[out] = '\0';
    return buffer;
}
