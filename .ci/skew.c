/* Preloaded into Redis, it makes its clock go SKEW seconds ahead, so that tests see
 * what a wrong clock does. The monotonic clock, and with it all timers, is left alone.
 * libfaketime does the same, but not to a program that uses jemalloc. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
	const char *skew;
	int failed = syscall(SYS_clock_gettime, clock, now);
	if (!failed && clock == CLOCK_REALTIME && (skew = getenv("SKEW")))
		now->tv_sec += atol(skew);
	return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec t;
	if (clock_gettime(CLOCK_REALTIME, &t))
		return -1;
	now->tv_sec = t.tv_sec;
	now->tv_usec = t.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *copy)
{
	struct timespec t;
	if (clock_gettime(CLOCK_REALTIME, &t))
		return -1;
	if (copy)
		*copy = t.tv_sec;
	return t.tv_sec;
}
