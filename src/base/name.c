/* Host names as text: their canonical form, zones, and patterns. The wire form is the DNS codec's.
 */
#include "base/text.h"

#include <string.h>

#define LABEL_MAX 63

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static bool is_label(const char *label, size_t len)
{
    if (len == 0 || len > LABEL_MAX || label[0] == '-' || label[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_label_char(label[i]))
            return false;
    }
    return true;
}

static bool is_number(const char *label, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!is_digit(label[i]))
            return false;
    }
    return true;
}

int name_normalize(const char *text, char ret_name[NAME_TEXT_CAP])
{
    char name[NAME_TEXT_CAP];
    size_t len = strnlen(text, NAME_TEXT_CAP + 1);
    if (len > 0 && text[len - 1] == '.')
        len--;
    if (len == 0 || len >= NAME_TEXT_CAP)
        return ERR_INVALID;
    for (size_t i = 0; i < len; i++)
        name[i] = lower(text[i]);
    name[len] = '\0';

    for (const char *label = name;;) {
        const size_t label_len = strcspn(label, ".");
        if (!is_label(label, label_len))
            return ERR_INVALID;
        if (label[label_len] == '\0') {
            if (is_number(label, label_len))
                return ERR_INVALID;
            break;
        }
        label += label_len + 1;
    }
    memcpy(ret_name, name, len + 1);
    return ERR_OK;
}

bool name_is_in_zone(const char *name, const char *zone)
{
    const size_t name_len = strlen(name), zone_len = strlen(zone);
    if (zone_len == 0 || name_len < zone_len)
        return false;
    const char *end = name + (name_len - zone_len);
    return strcmp(end, zone) == 0 && (end == name || end[-1] == '.');
}

const char *name_parent(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot != NULL ? dot + 1 : NULL;
}

bool name_matches(const char *pattern, const char *name)
{
    /* Falls back to the latest star only: linear in space, at worst quadratic in time. */
    const char *star = NULL, *resume = NULL;
    while (*name != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (lower(*pattern) == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
