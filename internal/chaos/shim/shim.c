/* A disk that fails when it is told to, for one process and one folder.
 *
 * Loaded with LD_PRELOAD. CHAOS_ROOT is the folder; CHAOS_CONTROL is a file that the process shares with whoever
 * gives the orders (see shim.go, which has the same layout):
 *
 *   [0] full       not 0: the disk is full (ENOSPC) for whatever would make the folder larger
 *   [1] action     at the rename that brings [2] to 0: 1 kill -9, 2 ENOSPC, 3 kill -9 once the rename is done
 *   [2] countdown  renames below the folder until then; below 1: nothing is armed
 *   [3] renames    below the folder, seen by any process
 *   [4] done       actions and refusals
 *
 * A rename comes as rename(2), or as renameat2 by syscall(2): libchdb uses both.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CELLS 5
enum { FULL, ACTION, COUNTDOWN, RENAMES, DONE };
enum { KILL = 1, NOSPACE = 2, KILL_AFTER = 3 };

static volatile int64_t none[CELLS];
static volatile int64_t *cells = none;
static char root[4096];
static size_t root_len;

static void *next(const char *name) {
	void *f = dlsym(RTLD_NEXT, name);
	if (!f) _exit(97);
	return f;
}
#define REAL(name) \
	static __typeof__(&name) real; \
	if (!real) real = (__typeof__(&name))next(#name)

__attribute__((constructor)) static void begin(void) {
	const char *dir = getenv("CHAOS_ROOT"), *file = getenv("CHAOS_CONTROL");
	if (!dir || !file || strlen(dir) >= sizeof root) return;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0) return;
	void *m = mmap(0, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (m == MAP_FAILED) return;
	strcpy(root, dir);
	root_len = strlen(root);
	cells = m;
}

static int below(const char *path) {
	return path && root_len && !strncmp(path, root, root_len) && (path[root_len] == '/' || !path[root_len]);
}

static int fd_below(int fd) {
	char link[64], path[4096];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n <= 0) return 0;
	path[n] = 0;
	return below(path);
}

static int refuse(void) {
	__sync_add_and_fetch(&cells[DONE], 1);
	errno = ENOSPC;
	return -1;
}

static int full_path(const char *path) { return cells[FULL] && below(path); }

/* Standard output and error are no disk. */
static int full_fd(int fd) {
	if (!cells[FULL] || fd < 3) return 0;
	int e = errno, yes = fd_below(fd);
	errno = e;
	return yes;
}

/* What the rename at hand has to suffer. Only one rename brings the countdown to 0. */
static int verdict(const char *from, const char *to) {
	if (!below(from) && !below(to)) return 0;
	__sync_add_and_fetch(&cells[RENAMES], 1);
	if (cells[FULL]) return NOSPACE;
	if (cells[COUNTDOWN] < 1 || __sync_sub_and_fetch(&cells[COUNTDOWN], 1) != 0) return 0;
	int what = (int)cells[ACTION];
	if (what == KILL) {
		__sync_add_and_fetch(&cells[DONE], 1);
		kill(getpid(), SIGKILL);
		for (;;) pause();
	}
	return what;
}

static int after(int what, int result) {
	if (what != KILL_AFTER) return result;
	__sync_add_and_fetch(&cells[DONE], 1);
	kill(getpid(), SIGKILL);
	for (;;) pause();
}

int rename(const char *from, const char *to) {
	REAL(rename);
	int what = verdict(from, to);
	return what == NOSPACE ? refuse() : after(what, real(from, to));
}

int renameat(int a, const char *from, int b, const char *to) {
	REAL(renameat);
	int what = verdict(from, to);
	return what == NOSPACE ? refuse() : after(what, real(a, from, b, to));
}

int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
	REAL(renameat2);
	int what = verdict(from, to);
	return what == NOSPACE ? refuse() : after(what, real(a, from, b, to, flags));
}

long syscall(long number, ...) {
	static long (*real)(long, ...);
	if (!real) real = (long (*)(long, ...))next("syscall");
	va_list list;
	va_start(list, number);
	long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
	long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
	va_end(list);
	if (number == SYS_renameat2) {
		int what = verdict((const char *)b, (const char *)d);
		return what == NOSPACE ? refuse() : after(what, (int)real(number, a, b, c, d, e));
	}
	return real(number, a, b, c, d, e, f);
}

ssize_t write(int fd, const void *bytes, size_t n) {
	REAL(write);
	return full_fd(fd) ? refuse() : real(fd, bytes, n);
}

ssize_t writev(int fd, const struct iovec *v, int n) {
	REAL(writev);
	return full_fd(fd) ? refuse() : real(fd, v, n);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
	REAL(pwrite);
	return full_fd(fd) ? refuse() : real(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
	REAL(pwrite64);
	return full_fd(fd) ? refuse() : real(fd, bytes, n, at);
}

int mkdir(const char *path, mode_t mode) {
	REAL(mkdir);
	return full_path(path) ? refuse() : real(path, mode);
}

int link(const char *from, const char *to) {
	REAL(link);
	return full_path(to) ? refuse() : real(from, to);
}

static int creates(const char *path, int flags) { return (flags & O_CREAT) && full_path(path); }

#define MODE() \
	mode_t mode = 0; \
	if (flags & (O_CREAT | __O_TMPFILE)) { \
		va_list list; \
		va_start(list, flags); \
		mode = va_arg(list, mode_t); \
		va_end(list); \
	}

int open(const char *path, int flags, ...) {
	REAL(open);
	MODE();
	return creates(path, flags) ? refuse() : real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
	REAL(open64);
	MODE();
	return creates(path, flags) ? refuse() : real(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
	REAL(openat);
	MODE();
	return creates(path, flags) ? refuse() : real(dir, path, flags, mode);
}
