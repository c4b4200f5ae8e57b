/*
 * serve/super.c - the supervisor's own life: settings, start, readiness, reload, stop. What it does to processes is in super_children.c.
 */
#include "serve/super.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "serve/super_in.h"
#include "serve/systemd.h"

enum { SUPER_START_MS = 60000 };

/*
 * Readiness
 */

static bool super_all_ready(const struct super *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].child == NULL || !s->slots[i].child->ready)
			return false;
	return true;
}

void super_look_whether_ready(struct super *s)
{
	if (s->stopping || !super_all_ready(s) || (s->told_ready && !s->reloading))
		return;
	loop_timer_stop(s->loop, &s->patience);
	log_info("%s: %s, %zu processes", s->t->name, s->reloading ? "new settings in use" : "ready", s->n_slots);
	systemd_notify("READY=1");
	start_report(&s->report_fd, NULL);
	s->told_ready = true;
	s->reloading = false;
}

static void super_stop(struct super *s);

void super_fail_start(struct super *s, const char *fmt, ...)
{
	va_list ap;

	if (s->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(s->why_failed, sizeof(s->why_failed), fmt, ap);
	va_end(ap);
	s->failed = true;
	log_error("start failed: %s", s->why_failed);
	super_stop(s);
}

static void super_on_impatience(void *ctx)
{
	struct super *s = ctx;

	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].child == NULL || !s->slots[i].child->ready) {
			super_fail_start(s, "process %s was not ready within %d seconds", s->slots[i].row->role, SUPER_START_MS / 1000);
			return;
		}
}

/*
 * Reload and stop
 */

static enum log_level super_log_level(const struct settings *s)
{
	static const char *const words[] = { [LOG_L_ERROR] = "error", [LOG_L_WARN] = "warn", [LOG_L_INFO] = "info", [LOG_L_DEBUG] = "debug" };

	for (enum log_level at = LOG_L_ERROR; at <= LOG_L_DEBUG; at++)
		if (strcmp(s->log_level, words[at]) == 0)
			return at;
	return LOG_L_INFO;
}

static void super_log_warnings(const struct buf *warnings)
{
	struct slice rest = buf_view(warnings), line;

	while (slice_next(&rest, '\n', &line))
		if (line.n > 0)
			log_warn("%.*s", SLICE_FMT(line));
}

static int super_load(struct super *s, struct settings **out, struct buf *warnings, struct err *e)
{
	struct settings *fresh = NULL;

	if (conf_load(&fresh, s->options.settings_file, s->options.overrides, warnings, e) < 0)
		return -1;
	if (s->t->check != NULL && s->t->check(fresh, e) < 0) {
		conf_free(&fresh);
		return -1;
	}
	*out = fresh;
	return 0;
}

/* All that can fail comes first and touches nothing that is in use. */
static int super_try_reload(struct super *s, struct err *e)
{
	struct buf warnings;
	struct settings *fresh = NULL;
	struct listeners listeners;

	buf_init(&warnings, BUF_UNBOUNDED);
	if (super_load(s, &fresh, &warnings, e) < 0 || listeners_open(&listeners, &s->listeners, s->t, fresh, e) < 0) {
		conf_free(&fresh);
		buf_done(&warnings);
		return -1;
	}
	if (log_open(fresh->log_target, super_log_level(fresh), e) < 0)
		log_warn("going on with the old log: %s", e->text);
	super_log_warnings(&warnings);
	buf_done(&warnings);
	listeners_close(&s->listeners, &listeners);
	s->listeners = listeners;
	conf_free(&s->settings);
	s->settings = fresh;
	return 0;
}

static void super_on_sigchld(void *ctx, int signo)
{
	(void)signo;
	super_reap(ctx);
}

static void super_on_sighup(void *ctx, int signo)
{
	struct super *s = ctx;
	struct err e = ERR_INIT;

	(void)signo;
	if (s->stopping || !s->told_ready)
		return;
	log_reopen();
	systemd_notify_reloading(loop_now(s->loop) * 1000);
	if (super_try_reload(s, &e) < 0) {
		log_error("reload: nothing changes, because of %s", e.text);
		systemd_notify("READY=1");
		return;
	}
	s->generation++;
	s->reloading = true;
	super_retire_all(s);
	super_new_generation(s);
}

static void super_on_stop_overdue(void *ctx)
{
	super_kill_all(ctx);
}

static void super_stop(struct super *s)
{
	s->stopping = true;
	for (size_t i = 0; i < s->n_slots; i++)
		loop_timer_stop(s->loop, &s->slots[i].pause);
	super_retire_all(s);
	loop_timer_start(s->loop, &s->patience, SUPER_STOP_MS, super_on_stop_overdue, s);
	if (list_is_empty(&s->children))
		loop_stop(s->loop);
}

static void super_on_sigterm(void *ctx, int signo)
{
	struct super *s = ctx;

	(void)signo;
	if (s->stopping) {                                            /* asked twice: now */
		super_on_stop_overdue(s);
		return;
	}
	log_info("%s: stopping", s->t->name);
	systemd_notify("STOPPING=1");
	super_stop(s);
}

static void super_on_watchdog(void *ctx)
{
	struct super *s = ctx;

	systemd_notify("WATCHDOG=1");
	loop_timer_start(s->loop, &s->watchdog, systemd_watchdog_ms() / 2, super_on_watchdog, s);
}

/*
 * Life
 */

/* Connections are descriptors: as many as the hard limit gives. */
static void super_raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int super_prepare(struct super *s, struct err *e)
{
	char name[64];

	snprintf(name, sizeof(name), "posthouse/%s", s->t->name);
	log_name(name);
	umask(077);
	super_raise_limits();
	if (log_open(s->settings->log_target, super_log_level(s->settings), e) < 0)
		return -1;
	if (start_directories(s->settings, e) < 0 || start_pid_file(s->settings, s->t->name, &s->pid_fd, e) < 0)
		return -1;
	return listeners_open(&s->listeners, NULL, s->t, s->settings, e);
}

/* Before the first fork, so that a front that comes later finds what the others have written. */
static void super_share(struct super *s)
{
	if (s->t->shared_octets == 0)
		return;
	s->shared = mmap(NULL, s->t->shared_octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED)
		log_fatal("no memory for what the processes share: %s", strerror(errno));
	text_random(s->shared, 16);
}

static void super_live(struct super *s)
{
	super_share(s);
	s->loop = loop_new();
	loop_signal(s->loop, SIGCHLD, super_on_sigchld, s);
	loop_signal(s->loop, SIGHUP, super_on_sighup, s);
	loop_signal(s->loop, SIGTERM, super_on_sigterm, s);
	loop_signal(s->loop, SIGINT, super_on_sigterm, s);
	loop_timer_start(s->loop, &s->patience, SUPER_START_MS, super_on_impatience, s);
	if (systemd_watchdog_ms() > 0)
		super_on_watchdog(s);
	super_new_generation(s);
	super_look_whether_ready(s);
	loop_run(s->loop);
	super_free_slots(s);
	loop_timer_stop(s->loop, &s->patience);
	loop_timer_stop(s->loop, &s->watchdog);
	loop_free(&s->loop);
}

static int super_complain(struct super *s, const char *why)
{
	if (s->report_fd >= 0)
		start_report(&s->report_fd, why);
	else
		fprintf(stderr, "%s: %s\n", s->t->name, why);
	return 1;
}

static int super_run(struct super *s)
{
	struct err e = ERR_INIT;
	int status = 0;

	if (!s->options.foreground && (s->report_fd = start_detach(s->t->name, strcmp(s->settings->log_target, "stderr") == 0, &e)) < 0)
		return super_complain(s, e.text);
	if (super_prepare(s, &e) < 0) {
		log_error("start failed: %s", e.text);
		status = super_complain(s, e.text);
	} else {
		super_live(s);
		if (s->failed)
			status = super_complain(s, s->why_failed);
	}
	start_pid_file_remove(s->settings, s->t->name, &s->pid_fd);
	listeners_close(&s->listeners, NULL);
	start_report(&s->report_fd, "stopped before it was ready");
	log_close();
	return status;
}

/* -T, and the first look at the settings of every start: warnings and errors where the person is. */
static int super_read_settings(struct super *s)
{
	struct err e = ERR_INIT;
	struct buf warnings;
	int rc;

	buf_init(&warnings, BUF_UNBOUNDED);
	rc = super_load(s, &s->settings, &warnings, &e);
	if (warnings.len > 0)
		fprintf(stderr, "%s", buf_str(&warnings));
	buf_done(&warnings);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", s->t->name, e.text);
	else if (s->options.test)
		printf("%s: the settings in %s are good\n", s->t->name, s->options.settings_file);
	return rc;
}

int super_main(const struct daemon_table *t, int argc, char **argv)
{
	struct super s = { .t = t, .pid_fd = -1, .report_fd = -1 };
	struct err e = ERR_INIT;
	int status = 1;

	list_init(&s.children);
	if (start_options_read(&s.options, argc, argv, &e) < 0)
		fprintf(stderr, "%s: %s\n", t->name, e.text);
	else if (super_read_settings(&s) == 0)
		status = s.options.test ? 0 : super_run(&s);
	conf_free(&s.settings);
	start_options_done(&s.options);
	return status;
}
