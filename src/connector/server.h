/* The connector as a whole: brings its parts up in order, runs the loop, takes them down. */
#ifndef CONNECTOR_SERVER_H
#define CONNECTOR_SERVER_H

#include "connector/config.h"

/* Runs until SIGTERM or SIGINT. ERR_OK after an orderly end; else what could not be set up was
 * logged. */
MUST_USE int server_run(const struct connector_config *config);
/* What --check does beyond the configuration: the key and the database, where they exist, can be
 * read. Problems are logged. */
MUST_USE int server_check(const struct connector_config *config);

#endif
