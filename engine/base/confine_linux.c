#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "engine/base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- a young child ---- */

static void write_text(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t ignored = write(fd, text, strlen(text)); /* a wish: nothing depends on it */
    (void)ignored;
    close(fd);
}

static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) == 0)
        return;
#endif
    struct rlimit limit = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = first; fd < 65536 && (rlim_t)fd < limit.rlim_cur; fd++)
        close(fd);
}

void oll_confine_child(const char *name, int n_fds, bool keep_core)
{
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    write_text("/proc/self/oom_score_adj", "500");
    if (!keep_core) {
        /* Descriptors close, and so the end is noticed, only behind the dump, which a program may
         * take (core_pattern) whatever the limit: it must be short as well. */
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        write_text("/proc/self/coredump_filter", "0");
    }
    close_from(n_fds);
}

/* ---- system calls ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

/* Opening and changing files. */
static const int file_calls[] = {
#ifdef SYS_open
    SYS_open,      SYS_creat,    SYS_mkdir,     SYS_rmdir,       SYS_rename,
    SYS_link,      SYS_unlink,   SYS_symlink,   SYS_mknod,       SYS_chmod,
    SYS_chown,     SYS_lchown,   SYS_utime,     SYS_utimes,      SYS_futimesat,
#endif
#ifdef SYS_openat2
    SYS_openat2,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
    SYS_openat,    SYS_mkdirat,  SYS_unlinkat,  SYS_renameat2,   SYS_linkat,
    SYS_symlinkat, SYS_mknodat,  SYS_fchmodat,  SYS_fchownat,    SYS_truncate,
    SYS_utimensat, SYS_setxattr, SYS_lsetxattr, SYS_removexattr, SYS_lremovexattr};

/* The network, other programs, other processes, and doors of the kernel that computing needs not:
 * io_uring would also do the work of calls that are refused here. */
static const int other_calls[] = {
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
#ifdef SYS_io_uring_setup
    SYS_io_uring_setup,
#endif
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
#ifdef SYS_pidfd_send_signal
    SYS_pidfd_send_signal,
#endif
#ifdef SYS_open_tree
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsmount,
#endif
    SYS_socket,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_accept,
    SYS_accept4,
    SYS_execve,
    SYS_execveat,
    SYS_kill,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_open_by_handle_at,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_personality,
    SYS_quotactl,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime};

enum {
    N_FILE_CALLS = sizeof file_calls / sizeof *file_calls,
    N_OTHER_CALLS = sizeof other_calls / sizeof *other_calls,
    FILTER_MAX = 2 * (N_FILE_CALLS + N_OTHER_CALLS) + 24
};

struct filter {
    struct sock_filter code[FILTER_MAX];
    unsigned short n;
};

static void add(struct filter *f, struct sock_filter instruction)
{
    OLL_ASSERT(f->n < FILTER_MAX);
    f->code[f->n++] = instruction;
}

#define LOAD(field)                                                                                \
    (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* Skips one instruction unless, or when, the loaded word is as said. */
#define UNLESS_EQUAL(v)    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), 0, 1)
#define WHEN_EQUAL(v)      (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (v), 1, 0)
#define UNLESS_AT_LEAST(v) (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (v), 0, 1)
#define WHEN_BITS(v)       (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (v), 1, 0)
#define GIVE(action)       (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (action))
#define REFUSE(code)       GIVE(SECCOMP_RET_ERRNO | ((code) & SECCOMP_RET_DATA))

static void refuse_all(struct filter *f, const int *calls, int n)
{
    for (int i = 0; i < n; i++) {
        add(f, UNLESS_EQUAL((unsigned)calls[i]));
        add(f, REFUSE(EACCES));
    }
}

/* clone makes threads, not processes; the flags of clone3 lie in memory that a filter cannot read,
 * and libc takes clone instead when it is missing. A signal goes to this process alone. */
static void limit_processes(struct filter *f)
{
#ifdef SYS_clone3
    add(f, UNLESS_EQUAL(SYS_clone3));
    add(f, REFUSE(ENOSYS));
#endif
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4));
    add(f, LOAD(args[0])); /* the low half: all machines here are little-endian */
    add(f, WHEN_BITS(CLONE_THREAD));
    add(f, REFUSE(EPERM));
    add(f, GIVE(SECCOMP_RET_ALLOW));
    add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_tgkill, 0, 4));
    add(f, LOAD(args[0]));
    add(f, WHEN_EQUAL((unsigned)getpid()));
    add(f, REFUSE(EPERM));
    add(f, GIVE(SECCOMP_RET_ALLOW));
}

oll_status oll_confine_calls(bool may_open, struct oll_error *err)
{
#ifdef ARCH
    struct filter f = {.n = 0};
    add(&f, LOAD(arch));
    add(&f, WHEN_EQUAL(ARCH));
    add(&f, GIVE(SECCOMP_RET_KILL_PROCESS));
    add(&f, LOAD(nr));
#ifdef __x86_64__
    add(&f, UNLESS_AT_LEAST(0x40000000)); /* the numbers of the x32 interface */
    add(&f, REFUSE(ENOSYS));
#endif
    if (!may_open)
        refuse_all(&f, file_calls, N_FILE_CALLS);
    refuse_all(&f, other_calls, N_OTHER_CALLS);
    limit_processes(&f);
    add(&f, GIVE(SECCOMP_RET_ALLOW));
    const struct sock_fprog program = {.len = f.n, .filter = f.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0)
        return OLL_OK;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "system calls cannot be taken away: %s",
                    strerror(errno));
#else
    (void)may_open;
    return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "system calls of this processor are not known here");
#endif
}

/* ---- files ---- */

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
/* Bits that a version of Landlock brought, which headers may be older than: all up to MAKE_SYM;
 * then moving files between folders; then truncating them by name. */
#define FIRST_BITS   ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)
#define REFER_BIT    (UINT64_C(1) << 13)
#define TRUNCATE_BIT (UINT64_C(1) << 14)

static int landlock_version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t all_access(int version)
{
    return FIRST_BITS | (version >= 2 ? REFER_BIT : 0) | (version >= 3 ? TRUNCATE_BIT : 0);
}

static bool allow(int rules, const char *path, uint64_t access)
{
    struct stat st;
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        access &= ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
    const struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    const bool ok =
        syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
    return ok;
}

oll_status oll_confine_paths(const char *folder, const char *const *readable, int n,
                             struct oll_error *err)
{
    const int version = landlock_version();
    const struct landlock_ruleset_attr all = {.handled_access_fs = all_access(version)};
    const int rules =
        version < 1 ? -1 : (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (rules < 0)
        return OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "files cannot be confined to folders: %s",
                        strerror(errno));
    /* What tells of processors and memory; absent in some containers. */
    allow(rules, "/proc", READING);
    allow(rules, "/sys", READING);
    oll_status status = OLL_OK;
    if (folder && !allow(rules, folder, all.handled_access_fs))
        status = OLL_FAIL(err, OLL_ERR_IO, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < n && status == OLL_OK; i++)
        if (!allow(rules, readable[i], READING))
            status = OLL_FAIL(err, OLL_ERR_IO, "%s: %s", readable[i], strerror(errno));
    if (status == OLL_OK && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
                             syscall(SYS_landlock_restrict_self, rules, 0) != 0))
        status = OLL_FAIL(err, OLL_ERR_UNSUPPORTED, "files cannot be confined to folders: %s",
                          strerror(errno));
    close(rules);
    return status;
}

unsigned oll_confine_means(void)
{
    unsigned means = 0;
#ifdef ARCH
    const uint32_t action = SECCOMP_RET_ERRNO;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0)
        means |= OLL_CONFINE_CALLS;
#endif
    if (landlock_version() >= 1)
        means |= OLL_CONFINE_PATHS;
    return means;
}
