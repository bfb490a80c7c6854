/* Rights that are given up: each case in a process of its own, which tells by its exit code. */
#include "engine/base/confine.h"
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(int (*body)(void))
{
    int code = 0;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    waitpid(pid, &code, 0);
    return WIFEXITED(code) ? WEXITSTATUS(code) : 1000 + WTERMSIG(code);
}

static bool can(enum oll_confine_means means)
{
    if (oll_confine_means() & means)
        return true;
    testing_skip("this kernel cannot take that away");
    return false;
}

static void *nothing(void *arg) { return arg; }

static bool is_refused(int result) { return result == -1 && (errno == EACCES || errno == EPERM); }

static int try_all(void)
{
    char *argv[] = {(char *)"true", NULL};
    pthread_t thread;
    int pair[2];
    const int before = open("/dev/null", O_WRONLY);
    if (before < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
        oll_confine_calls(false, NULL) != OLL_OK)
        return 1;
    if (!is_refused(open("/etc/passwd", O_RDONLY)) || !is_refused(openat(AT_FDCWD, "/", O_RDONLY)))
        return 2;
    if (!is_refused(socket(AF_INET, SOCK_STREAM, 0)))
        return 3;
    if (!is_refused(execv("/bin/true", argv)))
        return 4;
    if (!is_refused(fork()))
        return 5;
    if (!is_refused(kill(getppid(), SIGTERM)) || !is_refused(kill(getpid(), 0)))
        return 6;
    if (!is_refused(mkdir("never", 0700)) || !is_refused(unlink("never")))
        return 7;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 8;
    if (write(before, "x", 1) != 1 || send(pair[0], "x", 1, 0) != 1)
        return 9;
    return 0;
}

TEST(files_network_and_programs_are_out_of_reach)
{
    if (can(OLL_CONFINE_CALLS))
        CHECK_EQ(run(try_all), 0);
}

static int try_open(void)
{
    if (oll_confine_calls(true, NULL) != OLL_OK)
        return 1;
    if (open("/dev/null", O_RDONLY) < 0)
        return 2;
    return is_refused(socket(AF_INET, SOCK_STREAM, 0)) ? 0 : 3;
}

TEST(files_may_stay_in_reach)
{
    if (can(OLL_CONFINE_CALLS))
        CHECK_EQ(run(try_open), 0);
}

static int raise_in_thread(void)
{
    if (oll_confine_calls(false, NULL) != OLL_OK)
        return 1;
    raise(SIGUSR1);
    return 2;
}

TEST(a_process_may_still_end_itself)
{
    if (can(OLL_CONFINE_CALLS))
        CHECK_EQ(run(raise_in_thread), 1000 + SIGUSR1);
}

static char folder[64], outside[80];

static int try_paths(void)
{
    char file[96];
    const char *readable[] = {"/etc/passwd"};
    snprintf(file, sizeof file, "%s/file", folder);
    if (oll_confine_paths(folder, readable, 1, NULL) != OLL_OK)
        return 1;
    if (open(file, O_WRONLY | O_CREAT, 0600) < 0)
        return 2;
    if (open("/etc/passwd", O_RDONLY) < 0 || !is_refused(open("/etc/group", O_RDONLY)))
        return 3;
    if (!is_refused(open("/etc/passwd", O_WRONLY | O_APPEND)))
        return 4;
    if (open("/proc/self/status", O_RDONLY) < 0)
        return 5;
    if (!is_refused(open(outside, O_WRONLY)) || !is_refused(unlink(outside)))
        return 7;
    return unlink(file) == 0 ? 0 : 6;
}

TEST(files_are_confined_to_folders)
{
    if (!can(OLL_CONFINE_PATHS))
        return;
    snprintf(folder, sizeof folder, "%s/oll-confine-XXXXXX", P_tmpdir);
    CHECK(mkdtemp(folder));
    snprintf(outside, sizeof outside, "%s-outside", folder);
    close(open(outside, O_WRONLY | O_CREAT, 0600));
    CHECK_EQ(run(try_paths), 0);
    unlink(outside);
    rmdir(folder);
}

static int try_child(void)
{
    char text[16] = "";
    const int kept = dup2(0, 5), closed = dup2(0, 6);
    oll_confine_child("child", 6, false);
    if (kept != 5 || closed != 6 || fcntl(5, F_GETFD) < 0 || fcntl(6, F_GETFD) >= 0)
        return 1;
    FILE *f = fopen("/proc/self/oom_score_adj", "r");
    if (f && (!fgets(text, sizeof text, f) || strcmp(text, "500\n") != 0))
        return 2;
    return 0;
}

TEST(a_child_keeps_what_it_was_given) { CHECK_EQ(run(try_child), 0); }

int main(int argc, char **argv) { return testing_main(argc, argv); }
