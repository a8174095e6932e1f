/* The LOGIN of a configuration. For this folder alone. */
#ifndef LOGIN_BUILD_H
#define LOGIN_BUILD_H

#include "login/client.h"

/* w takes NOTIFY_LEN_MAX bytes; an error stays in it. */
void login_build(const struct login_config *config, struct writer *w);
/* Can it be built? ERR_INVALID, ERR_FULL. */
MUST_USE int login_check(const struct login_config *config);

#endif
