/*
 * serve/flusher.c - see flusher.h.
 */
#include "serve/flusher.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

struct flusher {
	struct loop *loop;
	struct loop_fd watch;
	int wake;                                                     /* eventfd: the thread is done */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	bool busy;                                                    /* the loop's */
	bool has_begun, has_job, stop;                                         /* under the lock */
	void (*work)(void *ctx);
	void (*done)(void *ctx);
	void *ctx;
};

static void *flusher_thread(void *arg)
{
	struct flusher *f = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&f->lock);
	f->has_begun = true;
	pthread_cond_broadcast(&f->more);
	while (!f->stop) {
		if (!f->has_job) {
			pthread_cond_wait(&f->more, &f->lock);
			continue;
		}
		pthread_mutex_unlock(&f->lock);
		f->work(f->ctx);
		pthread_mutex_lock(&f->lock);
		f->has_job = false;
		if (write(f->wake, &one, sizeof(one)) != (ssize_t)sizeof(one))
			abort();                                      /* cannot happen: the counter is far from full */
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static void on_wake(void *ctx, unsigned events)
{
	struct flusher *f = ctx;
	uint64_t n;

	(void)events;
	if (read(f->wake, &n, sizeof(n)) != (ssize_t)sizeof(n))
		return;
	pthread_mutex_lock(&f->lock);                                 /* what work() wrote is visible behind this */
	pthread_mutex_unlock(&f->lock);
	f->busy = false;
	f->done(f->ctx);
}

struct flusher *flusher_new(struct loop *l)
{
	struct flusher *f = mem_new(sizeof(*f));
	sigset_t all, before;

	if ((f->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		log_fatal("cannot make the flusher: no descriptor left");
	f->loop = l;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->more, NULL);
	loop_fd_add(l, &f->watch, f->wake, LOOP_READ, on_wake, f);
	sigfillset(&all);                                             /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&f->thread, NULL, flusher_thread, f) != 0)
		log_fatal("cannot start the flusher thread");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_mutex_lock(&f->lock);
	while (!f->has_begun)
		pthread_cond_wait(&f->more, &f->lock);
	pthread_mutex_unlock(&f->lock);
	return f;
}

void flusher_free(struct flusher **fp)
{
	struct flusher *f = *fp;

	if (f == NULL)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_signal(&f->more);
	pthread_mutex_unlock(&f->lock);
	pthread_join(f->thread, NULL);
	loop_fd_del(f->loop, &f->watch);
	close(f->wake);
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->more);
	free(f);
	*fp = NULL;
}

bool flusher_is_busy(const struct flusher *f)
{
	return f->busy;
}

void flusher_start(struct flusher *f, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx)
{
	assert(!f->busy);
	f->busy = true;
	pthread_mutex_lock(&f->lock);
	f->work = work;
	f->done = done;
	f->ctx = ctx;
	f->has_job = true;
	pthread_cond_signal(&f->more);
	pthread_mutex_unlock(&f->lock);
}
