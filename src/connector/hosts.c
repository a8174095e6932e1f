/* Host database requests. */
#include "connector/hosts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *hosts_fail(const char *format, ...)
{
    char text[HOSTS_TEXT_CAP];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    return json_pack("{s:b, s:s}", "done", 1, "error", text);
}

/* The request's name, complete and within the zone. Returns NULL, or the answer that refuses it. */
static json_t *take_name(const json_t *request, const struct hosts_zone *zone,
                         char ret_name[NAME_TEXT_CAP])
{
    const char *text = json_string_value(json_object_get(request, "name"));
    char name[NAME_TEXT_CAP], full[2 * NAME_TEXT_CAP];
    if (text == NULL || name_normalize(text, name) != ERR_OK)
        return hosts_fail(
            "\"%.253s\" is not a host name; allowed: labels of letters, digits and '-', "
            "separated by dots",
            text != NULL ? text : "");
    const bool is_label = strchr(name, '.') == NULL;
    if (is_label && zone == NULL)
        return hosts_fail(
            "%s: without a running connector the zone is not known; give the full name", name);
    snprintf(full, sizeof full, "%s%s%s", name, is_label ? "." : "", is_label ? zone->name : "");
    if (name_normalize(full, name) != ERR_OK)
        return hosts_fail("%s is too long for a host name", full);
    if (zone != NULL && (!name_is_in_zone(name, zone->name) || strcmp(name, zone->name) == 0))
        return hosts_fail("%s is not below the zone %s that this connector serves", name,
                          zone->name);
    if (zone != NULL && zone_check_name(zone->zone, name) != ERR_OK)
        return hosts_fail("%s cannot be a host: the zone keeps this name for itself", name);
    memcpy(ret_name, name, sizeof name);
    return NULL;
}

static json_t *take_host(const json_t *request, const struct hosts_zone *zone,
                         struct database_host *ret_host)
{
    struct database_host host;
    const char *key = json_string_value(json_object_get(request, "key"));
    const json_t *mac = json_object_get(request, "mac");
    memset(&host, 0, sizeof host);
    json_t *refusal = take_name(request, zone, host.name);
    if (refusal != NULL)
        return refusal;
    if (key == NULL || public_key_parse(key, &host.key) != ERR_OK)
        return hosts_fail(
            "\"%.64s\" is not a public key; allowed: the line that `detec pubkey` prints",
            key != NULL ? key : "");
    host.has_mac = mac != NULL && !json_is_null(mac);
    if (host.has_mac &&
        (!json_is_string(mac) || mac_parse(json_string_value(mac), host.mac) != ERR_OK))
        return hosts_fail("the MAC address is bad; allowed: one such as 02:00:5e:10:00:01");
    *ret_host = host;
    return NULL;
}

static json_t *fail_database(const struct database *database)
{
    return hosts_fail("the host database failed: %s", database_error_text(database));
}

json_t *hosts_add(struct database *database, const struct hosts_zone *zone, const json_t *request,
                  struct database_host *ret_host)
{
    struct database_host host;
    char other[NAME_TEXT_CAP] = "";
    json_t *refusal = take_host(request, zone, &host);
    if (refusal != NULL)
        return refusal;
    const int error = database_add(database, &host, other);
    if (error == ERR_EXISTS && other[0] != '\0')
        return hosts_fail("this key belongs to %s already; `detec host remove %s` first", other,
                          other);
    if (error == ERR_EXISTS)
        return hosts_fail("%s is there already; `detec host remove %s` first", host.name,
                          host.name);
    if (error != ERR_OK)
        return fail_database(database);
    *ret_host = host;
    return json_pack("{s:b, s:s}", "done", 1, "name", host.name);
}

json_t *hosts_remove(struct database *database, const struct hosts_zone *zone,
                     const json_t *request, char ret_name[NAME_TEXT_CAP])
{
    char name[NAME_TEXT_CAP];
    json_t *refusal = take_name(request, zone, name);
    if (refusal != NULL)
        return refusal;
    const int error = database_remove(database, name);
    if (error == ERR_NOT_FOUND)
        return hosts_fail("%s is not in the host database", name);
    if (error != ERR_OK)
        return fail_database(database);
    memcpy(ret_name, name, sizeof name);
    return json_pack("{s:b, s:s}", "done", 1, "name", name);
}

struct listing {
    json_t *hosts;
    bool has_failed;
};

static bool append(void *context, const struct database_host *host)
{
    struct listing *listing = context;
    char key[PUBLIC_KEY_TEXT_CAP], mac[MAC_TEXT_CAP];
    json_t *object = json_pack("{s:s, s:s, s:s?, s:b, s:b}", "name", host->name, "key",
                               public_key_format(&host->key, key), "mac",
                               host->has_mac ? mac_format(host->mac, mac) : NULL, "is_static", 1,
                               "is_logged_in", 0);
    listing->has_failed = json_array_append_new(listing->hosts, object) != 0;
    return !listing->has_failed;
}

json_t *hosts_list(struct database *database, bool *ret_has_failed)
{
    struct listing listing = {.hosts = json_array()};
    const int error = database_list(database, append, &listing);
    *ret_has_failed = error != ERR_OK || listing.has_failed;
    if (!*ret_has_failed)
        return listing.hosts;
    json_decref(listing.hosts);
    return error != ERR_OK ? fail_database(database) : hosts_fail("%s", error_text(ERR_NOMEM));
}

static json_t *answer(struct database *database, const json_t *request)
{
    const char *command = json_string_value(json_object_get(request, "command"));
    struct database_host host;
    char name[NAME_TEXT_CAP];
    bool has_failed;
    if (command != NULL && strcmp(command, "host-add") == 0)
        return hosts_add(database, NULL, request, &host);
    if (command != NULL && strcmp(command, "host-remove") == 0)
        return hosts_remove(database, NULL, request, name);
    if (command == NULL || strcmp(command, "host-list") != 0)
        return hosts_fail("without a running connector there are only host-add, host-remove and "
                          "host-list");
    json_t *hosts = hosts_list(database, &has_failed);
    return has_failed ? hosts : json_pack("{s:b, s:o}", "done", 1, "hosts", hosts);
}

int hosts_serve(struct database *database, FILE *in, FILE *out)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    int error = ERR_OK;
    while (error == ERR_OK && (len = getline(&line, &cap, in)) >= 0) {
        json_t *request =
            len <= HOSTS_LINE_CAP ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
        json_t *result = json_is_object(request) ? answer(database, request)
                                                 : hosts_fail("the request is not a JSON object");
        if (json_dumpf(result, out, JSON_COMPACT) != 0 || fputc('\n', out) == EOF ||
            fflush(out) != 0)
            error = ERR_IO;
        json_decref(result);
        json_decref(request);
    }
    free(line);
    return error;
}
