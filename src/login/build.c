/* See login/build.h. */
#include "login/build.h"

#include <string.h>

void login_build(const struct login_config *config, struct writer *w)
{
    struct notify_login login = {.has_mac = config->has_mac,
                                 .is_guest = config->is_guest,
                                 .lease_s = config->lease_s,
                                 .port = config->port,
                                 .address_count = config->address_count};
    memcpy(login.mac, config->mac, sizeof login.mac);
    memcpy(login.name, config->name, sizeof login.name);
    memcpy(login.addresses, config->addresses, sizeof login.addresses);
    notify_build_login(w, &login);
}

int login_check(const struct login_config *config)
{
    uint8_t buffer[NOTIFY_LEN_MAX];
    struct writer w;
    if (config->address_count > NOTIFY_ADDRESS_MAX)
        return ERR_INVALID;
    writer_init(&w, buffer, sizeof buffer);
    login_build(config, &w);
    return w.error;
}
