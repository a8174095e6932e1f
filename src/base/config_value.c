/* Parsers for the kinds of value that configuration files have in common. */
#include "base/config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/text.h"

static void *member(void *target, const struct config_key *key)
{
    return (uint8_t *)target + key->offset;
}

int config_parse_text(const char *value, void *target, const struct config_key *key)
{
    const size_t len = strlen(value);
    if (len >= key->cap)
        return ERR_INVALID;
    memcpy(member(target, key), value, len + 1);
    return ERR_OK;
}

int config_parse_name(const char *value, void *target, const struct config_key *key)
{
    return name_normalize(value, member(target, key));
}

int config_parse_bool(const char *value, void *target, const struct config_key *key)
{
    const bool is_yes = strcmp(value, "yes") == 0;
    if (!is_yes && strcmp(value, "no") != 0)
        return ERR_INVALID;
    *(bool *)member(target, key) = is_yes;
    return ERR_OK;
}

int config_parse_port(const char *value, void *target, const struct config_key *key)
{
    /* At most five digits and nothing else: strtoul cannot overflow or skip anything. */
    const size_t len = strspn(value, "0123456789");
    if (len == 0 || len > 5 || value[len] != '\0')
        return ERR_INVALID;
    const unsigned long port = strtoul(value, NULL, 10);
    if (port == 0 || port > UINT16_MAX)
        return ERR_INVALID;
    const uint16_t result = (uint16_t)port;
    memcpy(member(target, key), &result, sizeof result);
    return ERR_OK;
}

int config_parse_duration(const char *value, void *target, const struct config_key *key)
{
    uint64_t us;
    if (duration_parse(value, &us) != ERR_OK)
        return ERR_INVALID;
    memcpy(member(target, key), &us, sizeof us);
    return ERR_OK;
}

int config_parse_endpoint(const char *value, void *target, const struct config_key *key)
{
    return endpoint_parse(value, 0, member(target, key));
}

int config_parse_address(const char *value, void *target, const struct config_key *key)
{
    return address_parse(value, member(target, key));
}

int config_parse_prefix(const char *value, void *target, const struct config_key *key)
{
    return prefix_parse(value, member(target, key));
}
