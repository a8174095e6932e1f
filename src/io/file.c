/* Whole files, written so that a crash at any moment leaves the old or the new content. */
#include "io/file.h"

#include "io/random.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int error_of_errno(void)
{
    switch (errno) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static void close_quietly(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
}

static void remove_quietly(const char *path)
{
    int saved = errno;

    unlink(path);
    errno = saved;
}

static int read_all(int fd, size_t cap, char **ret_data, size_t *ret_len)
{
    size_t room = 4096 < cap ? 4096 : cap;
    size_t len = 0;
    char *data = malloc(room + 1);
    int error = ERR_NOMEM;

    if (data == NULL)
        return ERR_NOMEM;
    for (;;) {
        /* One byte more than is allowed, to see that there is one. */
        ssize_t got = read(fd, data + len, room + 1 - len);

        if (got < 0 && errno == EINTR)
            continue;
        error = ERR_IO;
        if (got < 0)
            goto wipe_data;
        if (got == 0)
            break;
        len += (size_t)got;
        error = ERR_LIMIT;
        if (len > cap)
            goto wipe_data;
        if (len > room) {
            size_t grown = room > cap / 2 ? cap : room * 2;
            char *moved = malloc(grown + 1);

            error = ERR_NOMEM;
            if (moved == NULL)
                goto wipe_data;
            memcpy(moved, data, len);
            explicit_bzero(data, room + 1);
            free(data);
            data = moved;
            room = grown;
        }
    }
    error = ERR_INVALID;
    if (ret_len == NULL && memchr(data, 0, len) != NULL)
        goto wipe_data;
    data[len] = 0;
    *ret_data = data;
    if (ret_len != NULL)
        *ret_len = len;
    return ERR_OK;
wipe_data:
    explicit_bzero(data, room + 1);
    free(data);
    return error;
}

static int read_checked(const char *path, size_t cap, bool is_secret, char **ret_data,
                        size_t *ret_len)
{
    struct stat status;
    int error;
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return error_of_errno();
    error = ERR_IO;
    if (fstat(fd, &status) < 0)
        goto close_fd;
    error = ERR_INVALID;
    if (!S_ISREG(status.st_mode))
        goto close_fd;
    error = ERR_REFUSED;
    if (is_secret &&
        ((status.st_mode & 077) != 0 || (status.st_uid != geteuid() && status.st_uid != 0)))
        goto close_fd;
    error = read_all(fd, cap, ret_data, ret_len);
close_fd:
    close_quietly(fd);
    return error;
}

int file_read(const char *path, size_t cap, char **ret_data, size_t *ret_len)
{
    return read_checked(path, cap, false, ret_data, ret_len);
}

int file_read_secret(const char *path, size_t cap, char **ret_data, size_t *ret_len)
{
    return read_checked(path, cap, true, ret_data, ret_len);
}

static int write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t put = write(fd, at, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return ERR_IO;
        at += put;
        len -= (size_t)put;
    }
    return fsync(fd) < 0 ? ERR_IO : ERR_OK;
}

/* The directory part of path ("." if there is none) into directory. */
static int directory_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 1 : (size_t)(slash - path);

    if (len >= PATH_MAX || path[0] == 0)
        return ERR_INVALID;
    if (slash == NULL)
        directory[0] = '.';
    else if (len == 0)
        directory[len++] = '/';
    else
        memcpy(directory, path, len);
    directory[len] = 0;
    return ERR_OK;
}

/* A new name or content is only safe once its directory is on the disk too. */
static int sync_directory_of(const char *path)
{
    char directory[PATH_MAX];
    int error = directory_of(path, directory);
    int fd;

    if (error < 0)
        return error;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    /* File systems that cannot do it say EINVAL. */
    error = fsync(fd) < 0 && errno != EINVAL ? ERR_IO : ERR_OK;
    close_quietly(fd);
    return error;
}

static int create_with(const char *path, const void *data, size_t len, mode_t mode)
{
    int error;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return error_of_errno();
    error = write_all(fd, data, len);
    /* fchmod: the umask has no say. */
    if (error == ERR_OK && fchmod(fd, mode) < 0)
        error = ERR_IO;
    close_quietly(fd);
    if (error < 0)
        remove_quietly(path);
    return error;
}

int file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
    char temporary[PATH_MAX];
    uint32_t tag;
    int printed;
    int error = random_bytes(&tag, sizeof tag);

    if (error < 0)
        return error;
    printed = snprintf(temporary, sizeof temporary, "%s.%08x.tmp", path, tag);
    if (printed < 0 || (size_t)printed >= sizeof temporary)
        return ERR_INVALID;
    error = create_with(temporary, data, len, mode);
    if (error < 0)
        return error;
    if (rename(temporary, path) < 0) {
        remove_quietly(temporary);
        return ERR_IO;
    }
    return sync_directory_of(path);
}

int file_write_marked(const char *path, const void *data, size_t len, mode_t mode,
                      struct file_mark *ret_mark)
{
    struct stat status;
    int error = file_write_atomic(path, data, len, mode);

    if (error < 0)
        return error;
    if (lstat(path, &status) < 0)
        return ERR_IO;
    *ret_mark = (struct file_mark){status.st_dev, status.st_ino, len};
    return ERR_OK;
}

static bool is_marked(int fd, const struct file_mark *mark)
{
    struct stat status;

    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
           status.st_dev == mark->device && status.st_ino == mark->inode &&
           (size_t)status.st_size == mark->len;
}

int file_write_inside(const char *path, const struct file_mark *mark, size_t at, const void *data,
                      size_t len)
{
    int error = ERR_STATE;
    int fd;

    if (at > mark->len || len > mark->len - at)
        return ERR_INVALID;
    fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? ERR_STATE : ERR_IO;
    if (is_marked(fd, mark))
        error = pwrite(fd, data, len, (off_t)at) == (ssize_t)len && fdatasync(fd) == 0 ? ERR_OK
                                                                                       : ERR_IO;
    close_quietly(fd);
    return error;
}

int file_create_secret(const char *path, const void *data, size_t len)
{
    int error = create_with(path, data, len, 0600);

    return error < 0 ? error : sync_directory_of(path);
}

static int make_one(const char *path, mode_t mode)
{
    struct stat status;

    if (mkdir(path, mode) == 0)
        return chmod(path, mode) < 0 ? ERR_IO : ERR_OK;
    if (errno != EEXIST)
        return error_of_errno();
    if (stat(path, &status) < 0)
        return ERR_IO;
    return S_ISDIR(status.st_mode) ? ERR_OK : ERR_INVALID;
}

int file_make_directory(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    size_t i;

    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof part)
        return ERR_INVALID;
    memcpy(part, path, len);
    part[len] = 0;
    for (i = 1; i < len; i++) {
        int error;

        if (part[i] != '/')
            continue;
        part[i] = 0;
        error = make_one(part, 0755);
        part[i] = '/';
        if (error < 0)
            return error;
    }
    return make_one(part, mode);
}

int file_make_parent(const char *path, mode_t mode)
{
    char directory[PATH_MAX];
    int error = directory_of(path, directory);

    return error < 0 ? error : file_make_directory(directory, mode);
}

const char *file_error_text(int error)
{
    switch (error) {
    case ERR_IO:
        return strerror(errno);
    case ERR_NOT_FOUND:
        return "no such file or directory";
    case ERR_EXISTS:
        return "exists already, and is not overwritten";
    case ERR_LIMIT:
        return "larger than allowed";
    case ERR_INVALID:
        return "not a regular file or directory of the kind expected";
    case ERR_REFUSED:
        return "secret, but open to others: it must belong to this user or root, with mode 0600";
    default:
        return error_text(error);
    }
}
