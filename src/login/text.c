/* Words for people: results and states of the login. */
#include "login/client.h"

const char *name_result_text(uint8_t result)
{
    switch (result) {
    case NAME_OK:
        return "logged in";
    case NAME_KEY_UNKNOWN:
        return "the connector does not know this host's key, and takes no others";
    case NAME_OF_ANOTHER_KEY:
        return "the name belongs to another key";
    case NAME_MAC_DIFFERS:
        return "the name is bound to another MAC address";
    case NAME_NO_DYNAMIC:
        return "the connector gives no dynamic names, and this host's key has no name";
    case NAME_TOO_MANY_HOSTS:
        return "the connector is full";
    case NAME_REPLACED:
        return "another login with the same key has taken the place of this one";
    case NAME_GUEST:
        return "accepted as a guest";
    case NAME_TOO_OFTEN:
        return "logins with the same key chase each other: is the key in use on two hosts?";
    default:
        return "refused for a reason this version does not know";
    }
}

const char *login_state_text(enum login_state state)
{
    switch (state) {
    case LOGIN_WAITING:
        return "waiting to try again";
    case LOGIN_CONNECTING:
        return "connecting";
    case LOGIN_NAMING:
        return "logging in";
    case LOGIN_UP:
        return "logged in";
    case LOGIN_ASLEEP:
        return "asleep";
    }
    return "unknown";
}
