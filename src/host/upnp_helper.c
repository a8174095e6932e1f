/* One conversation with a UPnP gateway, on miniupnpc. */
#include "host/upnp_helper.h"

#include "io/confine.h"
#include "io/random.h"
#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_BYTES (16u << 20)
#define LIFE_S       15
#define DISCOVER_MS  1000 /* for each of the three kinds */
#define TTL          2    /* UPnP Device Architecture 1.1, 1.3.2 */
#define ANY_TRIES    3
#define DESCRIPTION  "detec"
/* UPnP InternetGatewayDevice, WANIPConnection, 2.4.16 */
#define ERROR_CONFLICT       718
#define ERROR_PERMANENT_ONLY 725

struct conversation {
    struct address gateway;
    char local[ADDRESS_TEXT_CAP];
    char port[6], external_port[6];
    char url[UPNP_URL_CAP]; /* of the gateway's description */
    struct UPNPUrls urls;
    struct IGDdatas data;
    char external[64]; /* address */
    unsigned lease_s;
};

bool upnp_url_is_at(const char *url, const struct address *gateway)
{
    static const char scheme[] = "http://";
    char text[ADDRESS_TEXT_CAP];
    size_t len = strlen(url);
    if (len >= UPNP_URL_CAP || strncmp(url, scheme, sizeof(scheme) - 1) != 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (url[i] <= ' ' || url[i] > '~')
            return false;
    }
    address_format(gateway, text, sizeof(text));
    const char *behind = url + sizeof(scheme) - 1 + strlen(text);
    return strncmp(url + sizeof(scheme) - 1, text, strlen(text)) == 0 &&
           (*behind == ':' || *behind == '/') && strchr(url, '@') == NULL;
}

static int report(const char *format, ...) PRINTF_LIKE(1, 2);
static int report(const char *format, ...)
{
    char line[UPNP_REPORT_CAP];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    bool is_written = len > 0 && (size_t)len < sizeof(line) &&
                      write(UPNP_REPORT_FD, line, (size_t)len) == (ssize_t)len;
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Of all devices that answer, the gateway's. */
static bool find(struct conversation *c)
{
    static const char *const kinds[] = {
        "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
        "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
        "urn:schemas-upnp-org:service:WANIPConnection:1",
        NULL,
    };
    int error = 0;
    bool is_found = false;
    struct UPNPDev *devices = upnpDiscoverDevices(kinds, DISCOVER_MS, c->local, NULL,
                                                  UPNP_LOCAL_PORT_ANY, 0, TTL, &error, 0);
    for (struct UPNPDev *device = devices; device != NULL && !is_found; device = device->pNext) {
        is_found = upnp_url_is_at(device->descURL, &c->gateway);
        if (is_found)
            snprintf(c->url, sizeof(c->url), "%s", device->descURL);
    }
    freeUPNPDevlist(devices);
    return is_found;
}

/* The first of the two connections that a description can have, and that has a public side. */
static bool describe(struct conversation *c)
{
    char lan[64];
    if (UPNP_GetIGDFromUrl(c->url, &c->urls, &c->data, lan, sizeof(lan)) != 1)
        return false;
    for (int i = 0; i < 2; i++) {
        struct address address;
        memset(c->external, 0, sizeof(c->external));
        if (c->urls.controlURL != NULL && upnp_url_is_at(c->urls.controlURL, &c->gateway) &&
            UPNP_GetExternalIPAddress(c->urls.controlURL, c->data.first.servicetype, c->external) ==
                UPNPCOMMAND_SUCCESS &&
            address_parse(c->external, &address) == ERR_OK && !address_is_unspecified(&address))
            return true;
        if (c->data.second.controlurl[0] == '\0')
            break;
        FreeUPNPUrls(&c->urls);
        c->data.first = c->data.second;
        GetUPNPUrls(&c->urls, &c->data, c->url, 0);
    }
    return false;
}

static int add(struct conversation *c, const char *lease)
{
    return UPNP_AddPortMapping(c->urls.controlURL, c->data.first.servicetype, c->external_port,
                               c->port, c->local, DESCRIPTION, "UDP", NULL, lease);
}

/* Some old gateways know no leases. */
static int add_for_a_time(struct conversation *c)
{
    char lease[12];
    snprintf(lease, sizeof(lease), "%u", UPNP_LEASE_S);
    c->lease_s = UPNP_LEASE_S;
    int result = add(c, lease);
    if (result == ERROR_PERMANENT_ONLY) {
        c->lease_s = 0;
        result = add(c, "0");
    }
    return result;
}

/* Another host has the port: any other does as well. */
static int add_any(struct conversation *c)
{
    char lease[12], reserved[6] = "";
    snprintf(lease, sizeof(lease), "%u", UPNP_LEASE_S);
    int result =
        UPNP_AddAnyPortMapping(c->urls.controlURL, c->data.first.servicetype, c->external_port,
                               c->port, c->local, DESCRIPTION, "UDP", NULL, lease, reserved);
    if (result == UPNPCOMMAND_SUCCESS && reserved[0] != '\0') {
        memcpy(c->external_port, reserved, sizeof(reserved));
        c->external_port[sizeof(c->external_port) - 1] = '\0';
        return result;
    }
    /* Version 1 of the service has no such action. */
    result = ERROR_CONFLICT;
    for (int i = 0; i < ANY_TRIES && result == ERROR_CONFLICT; i++) {
        uint16_t random;
        if (random_bytes(&random, sizeof(random)) != ERR_OK)
            break;
        snprintf(c->external_port, sizeof(c->external_port), "%u", random | 0x8000u);
        result = add_for_a_time(c);
    }
    return result;
}

static int map(struct conversation *c)
{
    if (c->url[0] == '\0' && !find(c))
        return report("error the gateway does not speak UPnP\n");
    if (!describe(c))
        return report("error the gateway's UPnP has no public address\n");
    int result = add_for_a_time(c);
    if (result == ERROR_CONFLICT)
        result = add_any(c);
    if (result != UPNPCOMMAND_SUCCESS)
        return report("error the gateway's UPnP refused (%d)\n", result);
    return report("mapped %s %s %u %s\n", c->external, c->external_port, c->lease_s, c->url);
}

static int unmap(struct conversation *c)
{
    if (!describe(c))
        return report("error the gateway's UPnP does not answer\n");
    int result = UPNP_DeletePortMapping(c->urls.controlURL, c->data.first.servicetype,
                                        c->external_port, "UDP", NULL);
    if (result != UPNPCOMMAND_SUCCESS)
        return report("error the gateway's UPnP refused (%d)\n", result);
    return report("unmapped\n");
}

static int take_port(const char *word, char ret_port[6])
{
    char *end;
    unsigned long port = strtoul(word, &end, 10);
    if (*end != '\0' || end == word || port == 0 || port > 65535)
        return ERR_INVALID;
    snprintf(ret_port, 6, "%u", (unsigned)(uint16_t)port);
    return ERR_OK;
}

int upnp_helper_main(int argc, char **argv)
{
    static struct conversation c;
    struct address local;
    bool is_map = argc == 6 && strcmp(argv[0], "map") == 0;
    if (argc != 6 || (!is_map && strcmp(argv[0], "unmap") != 0) ||
        address_parse(argv[1], &c.gateway) != ERR_OK || address_parse(argv[2], &local) != ERR_OK ||
        take_port(argv[3], c.port) != ERR_OK || take_port(argv[4], c.external_port) != ERR_OK ||
        ((argv[5][0] != '\0' || !is_map) && !upnp_url_is_at(argv[5], &c.gateway)))
        return EXIT_FAILURE;
    address_format(&local, c.local, sizeof(c.local));
    strcpy(c.url, argv[5]);
    if (confine(UPNP_REPORT_FD, MEMORY_BYTES, LIFE_S) != ERR_OK)
        return report("error the helper process cannot be confined\n");
    return is_map ? map(&c) : unmap(&c);
}
