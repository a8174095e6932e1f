/* Giving up privileges. */
#include "connector/user.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/privileges.h"

/* Makes the directory that file is to lie in, if it is missing, as the user's own. */
static int make_directory(const char *file, mode_t mode, const struct passwd *user)
{
    char directory[CONNECTOR_PATH_CAP];
    struct stat st;
    snprintf(directory, sizeof directory, "%s", file);
    char *slash = strrchr(directory, '/');
    if (slash == NULL || slash == directory)
        return ERR_OK;
    *slash = '\0';
    if (stat(directory, &st) == 0 || errno != ENOENT)
        return ERR_OK; /* what is there is used as it is */
    int error = file_make_directory(directory, mode);
    if (error == ERR_OK && chown(directory, user->pw_uid, user->pw_gid) != 0)
        error = ERR_IO;
    if (error != ERR_OK)
        log_error("directory %s: cannot be made for user %s: %s", directory, user->pw_name,
                  file_error_text(error));
    return error;
}

static int make_directories(const struct connector_config *config)
{
    errno = 0;
    const struct passwd *user = getpwnam(config->user);
    if (user == NULL) {
        log_error("%s: [connector] user = %s: there is no such user", config->file, config->user);
        return ERR_NOT_FOUND;
    }
    int error = make_directory(config->key, 0700, user);
    if (error == ERR_OK)
        error = make_directory(config->database, 0700, user);
    return error == ERR_OK ? make_directory(config->socket, 0755, user) : error;
}

int user_become(const struct connector_config *config)
{
    int error = ERR_OK;
    if (config->user[0] != '\0' && geteuid() == 0)
        error = make_directories(config);
    if (error != ERR_OK)
        return error;
    error = config->user[0] != '\0' ? privileges_become(config->user, PRIVILEGE_NONE)
                                    : privileges_keep(PRIVILEGE_NONE);
    if (error != ERR_OK)
        log_error("%s: [connector] user = %s: cannot become this user: %s", config->file,
                  config->user, error == ERR_IO ? strerror(errno) : error_text(error));
    /* No core dumps, no tracing: the key is in memory. */
    (void)privileges_protect_memory();
    return error;
}
