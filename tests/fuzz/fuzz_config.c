/* Configuration files: whatever is in them ends in a value or in a message that names file and
 * line. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "base/config.h"
#include "base/text.h"

struct target {
    char text[32];
    char name[NAME_TEXT_CAP];
    bool flag;
    uint16_t port;
    uint64_t time_us;
    struct endpoint endpoint;
    struct address address;
    struct prefix prefix;
};

#define AT(member) offsetof(struct target, member)

static const struct config_key keys[] = {
    {"host", "text", config_parse_text, AT(text), 32, "a text", 0},
    {"host", "name", config_parse_name, AT(name), NAME_TEXT_CAP, "a name", 0},
    {"host", "flag", config_parse_bool, AT(flag), 0, "yes or no", 0},
    {"host", "port", config_parse_port, AT(port), 0, "a port", 1},
    {"trust", "time", config_parse_duration, AT(time_us), 0, "a duration", 0},
    {"trust", "endpoint", config_parse_endpoint, AT(endpoint), 0, "an endpoint", 0},
    {"trust", "address", config_parse_address, AT(address), 0, "an address", 1},
    {"trust", "prefix", config_parse_prefix, AT(prefix), 0, "a prefix", 0},
    {NULL, NULL, NULL, 0, 0, NULL, 0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct target target = {0};
    char name[NAME_TEXT_CAP];
    char *message = NULL;
    size_t message_len = 0;
    char *text = malloc(len + 1);
    FILE *report = open_memstream(&message, &message_len);

    if (text != NULL && report != NULL) {
        if (len > 0)
            memcpy(text, data, len);
        text[len] = '\0';
        const int error = config_parse(text, "a.conf", keys, &target, report);
        fflush(report);
        must((error == 0) == (message_len == 0));
        must(error == 0 || strncmp(message, "a.conf", 6) == 0);
        must(error != 0 || memchr(target.text, '\0', sizeof(target.text)) != NULL);
        must(error != 0 || target.name[0] == '\0' || name_normalize(target.name, name) == 0);
    }
    if (report != NULL)
        fclose(report);
    free(message);
    free(text);
    return 0;
}
