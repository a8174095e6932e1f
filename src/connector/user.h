/* Becoming the configured user: started as root, the connector makes the directories that it will
 * need for that user, then gives up everything else. */
#ifndef CONNECTOR_USER_H
#define CONNECTOR_USER_H

#include "connector/config.h"

/* To be called once the ports are open and before any file is made. Problems are logged. */
MUST_USE int user_become(const struct connector_config *config);

#endif
