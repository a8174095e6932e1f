/* Helper processes for UPnP, one at a time: started, listened to, and ended. */
#include "host/upnp.h"

#include "host/host.h"
#include "io/clock.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELPER_US    (20 * SECOND_US)   /* then it is killed */
#define RETRY_US     (1800 * SECOND_US) /* where there was nobody; a changed network tries at once */
#define RENEW_TRY_US (120 * SECOND_US)
#define CHECK_US     (1800 * SECOND_US) /* of a mapping without a lease */
#define LEASE_MAX_S  86400
#define SELF         "/proc/self/exe"

static void begin(struct upnp *upnp, enum upnp_job job, uint64_t now_us);

int upnp_report_parse(const char *report, const struct address *gateway,
                      struct endpoint *ret_external, uint32_t *ret_lease_s,
                      char ret_url[UPNP_URL_CAP])
{
    char address[ADDRESS_TEXT_CAP], url[UPNP_URL_CAP];
    unsigned port, lease_s;
    int end = 0;
    struct endpoint external;
    if (sscanf(report, "mapped %45s %5u %6u %255s%n", address, &port, &lease_s, url, &end) != 4 ||
        strcmp(report + end, "\n") != 0)
        return ERR_INVALID;
    if (address_parse(address, &external.address) != ERR_OK ||
        external.address.family != ADDRESS_IPV4 || port == 0 || port > 65535 ||
        lease_s > LEASE_MAX_S || !upnp_url_is_at(url, gateway))
        return ERR_INVALID;
    external.port = (uint16_t)port;
    *ret_external = external;
    *ret_lease_s = lease_s;
    memcpy(ret_url, url, sizeof(url));
    return ERR_OK;
}

/* ---- a helper's end ---- */

static void on_mapped(struct upnp *upnp, const struct endpoint *external, uint32_t lease_s,
                      uint64_t now_us)
{
    upnp->is_mapped = true;
    upnp->external = *external;
    upnp->error[0] = '\0';
    upnp->expires_us = lease_s > 0 ? now_us + lease_s * SECOND_US : DEADLINE_NEVER;
    task_set(&upnp->host->tasks, &upnp->task,
             now_us + (lease_s > 0 ? lease_s * SECOND_US / 2 : CHECK_US));
}

static void on_map_failed(struct upnp *upnp, uint64_t now_us)
{
    static const char prefix[] = "error ";
    bool is_told = strncmp(upnp->report, prefix, sizeof(prefix) - 1) == 0;
    upnp->report[strcspn(upnp->report, "\n")] = '\0';
    snprintf(upnp->error, sizeof(upnp->error), "%s",
             is_told ? upnp->report + sizeof(prefix) - 1
                     : "the gateway's UPnP took too long or broke off");
    upnp->url[0] = '\0'; /* perhaps it has moved: look for it again */
    if (upnp->is_mapped && upnp->expires_us > now_us && upnp->expires_us != DEADLINE_NEVER) {
        task_set(&upnp->host->tasks, &upnp->task,
                 deadline_min(now_us + RENEW_TRY_US, upnp->expires_us));
        return;
    }
    upnp->is_mapped = false;
    task_set(&upnp->host->tasks, &upnp->task, now_us + RETRY_US);
}

static void on_done(struct upnp *upnp)
{
    const enum upnp_job job = upnp->job;
    const uint64_t now_us = clock_now_us();
    struct endpoint external;
    uint32_t lease_s;
    upnp->job = UPNP_JOB_NONE;
    task_clear(&upnp->host->tasks, &upnp->task);
    upnp->report[upnp->report_len] = '\0';
    if (job == UPNP_JOB_UNMAP) {
        upnp->is_mapped = false;
    } else if (!upnp->is_cancelled) {
        if (upnp_report_parse(upnp->report, &upnp->gateway, &external, &lease_s, upnp->url) ==
            ERR_OK)
            on_mapped(upnp, &external, lease_s, now_us);
        else
            on_map_failed(upnp, now_us);
    }
    if (upnp->is_wanted && (upnp->is_cancelled || job == UPNP_JOB_UNMAP))
        begin(upnp, UPNP_JOB_MAP, now_us);
    else if (!upnp->is_wanted && upnp->is_mapped && job != UPNP_JOB_UNMAP)
        begin(upnp, UPNP_JOB_UNMAP, now_us);
    if (upnp->on_change != NULL)
        upnp->on_change(upnp, now_us);
}

static void on_closed(uv_handle_t *handle)
{
    struct upnp *upnp = handle->data;
    if (--upnp->handles == 0)
        on_done(upnp);
}

static void on_helper_exit(uv_process_t *process, int64_t status, int number)
{
    uv_close((uv_handle_t *)process, on_closed);
}

/* ---- its report ---- */

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *ret_buffer)
{
    struct upnp *upnp = handle->data;
    ret_buffer->base = upnp->report + upnp->report_len;
    ret_buffer->len = sizeof(upnp->report) - 1 - upnp->report_len;
}

static void on_report(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct upnp *upnp = stream->data;
    if (count > 0) {
        upnp->report_len += (size_t)count;
        return;
    }
    /* Its end, or more than a report can be. */
    if (count < 0 && !uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, on_closed);
}

/* ---- its beginning ---- */

static void end_helper(struct upnp *upnp)
{
    /* Once it has ended, its number may be another's. */
    if (!uv_is_closing((uv_handle_t *)&upnp->process))
        (void)uv_process_kill(&upnp->process, SIGKILL);
}

static void on_task(struct task *task, uint64_t now_us)
{
    struct upnp *upnp = CONTAINER_OF(task, struct upnp, task);
    if (upnp->job != UPNP_JOB_NONE)
        end_helper(upnp);
    else if (upnp->is_wanted)
        begin(upnp, UPNP_JOB_MAP, now_us);
}

static void begin(struct upnp *upnp, enum upnp_job job, uint64_t now_us)
{
    char gateway[ADDRESS_TEXT_CAP], local[ADDRESS_TEXT_CAP], port[8], external_port[8];
    char program[] = "detecd", option[] = UPNP_HELPER_OPTION, map[] = "map", unmap[] = "unmap";
    uint16_t external = upnp->external.port != 0 ? upnp->external.port : upnp->host->config.port;
    char *words[] = {program,       option,    job == UPNP_JOB_MAP ? map : unmap,
                     gateway,       local,     port,
                     external_port, upnp->url, NULL};
    char *no_environment[] = {NULL};
    uv_stdio_container_t stdio[UPNP_REPORT_FD + 1] = {0};
    const uv_process_options_t options = {.exit_cb = on_helper_exit,
                                          .file = SELF,
                                          .args = words,
                                          .env = no_environment,
                                          .cwd = "/",
                                          .stdio_count = UPNP_REPORT_FD + 1,
                                          .stdio = stdio};
    address_format(&upnp->gateway, gateway, sizeof(gateway));
    address_format(&upnp->local, local, sizeof(local));
    snprintf(port, sizeof(port), "%u", upnp->host->config.port);
    snprintf(external_port, sizeof(external_port), "%u", external);
    for (int i = 0; i < UPNP_REPORT_FD; i++)
        stdio[i].flags = UV_IGNORE;
    stdio[UPNP_REPORT_FD].flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
    stdio[UPNP_REPORT_FD].data.stream = (uv_stream_t *)&upnp->pipe;
    upnp->report_len = 0;
    upnp->is_cancelled = false;
    upnp->task.run = on_task;
    if (uv_pipe_init(host_loop(upnp->host), &upnp->pipe, 0) != 0) {
        task_set(&upnp->host->tasks, &upnp->task, now_us + RETRY_US);
        return;
    }
    upnp->job = job;
    upnp->pipe.data = upnp->process.data = upnp;
    upnp->handles = 2;
    if (uv_spawn(host_loop(upnp->host), &upnp->process, &options) != 0) {
        /* The handle has been initialised all the same. */
        uv_close((uv_handle_t *)&upnp->process, on_closed);
        uv_close((uv_handle_t *)&upnp->pipe, on_closed);
        return;
    }
    if (uv_read_start((uv_stream_t *)&upnp->pipe, on_room, on_report) != 0)
        uv_close((uv_handle_t *)&upnp->pipe, on_closed);
    task_set(&upnp->host->tasks, &upnp->task, now_us + HELPER_US);
}

void upnp_start(struct upnp *upnp, const struct address *gateway, const struct address *local,
                uint64_t now_us)
{
    bool is_same =
        address_is_equal(&upnp->gateway, gateway) && address_is_equal(&upnp->local, local);
    if (upnp->is_wanted && is_same)
        return;
    upnp->is_wanted = true;
    if (!is_same) {
        upnp->gateway = *gateway;
        upnp->local = *local;
        upnp->is_mapped = false;
        upnp->external = (struct endpoint){0};
        upnp->url[0] = upnp->error[0] = '\0';
        upnp_kill(upnp);
    }
    if (upnp->job == UPNP_JOB_NONE)
        begin(upnp, UPNP_JOB_MAP, now_us);
}

void upnp_stop(struct upnp *upnp, uint64_t now_us)
{
    upnp->is_wanted = false;
    if (upnp->job == UPNP_JOB_NONE && upnp->is_mapped)
        begin(upnp, UPNP_JOB_UNMAP, now_us);
    else if (upnp->job == UPNP_JOB_MAP)
        upnp_kill(upnp);
    else if (upnp->job == UPNP_JOB_NONE && upnp->host != NULL)
        task_clear(&upnp->host->tasks, &upnp->task);
}

void upnp_kill(struct upnp *upnp)
{
    if (upnp->job == UPNP_JOB_NONE)
        return;
    upnp->is_cancelled = true;
    end_helper(upnp);
}

bool upnp_is_idle(const struct upnp *upnp)
{
    return upnp->handles == 0;
}
