/* Running a Go template; internal to engine/chat/go_*.c.
 *
 * One run belongs to one rendering and one thread; the tree is only read. Several executions of the
 * same run (legacy mode has one per turn) share its limits. */
#ifndef OLL_CHAT_GO_EXEC_H
#define OLL_CHAT_GO_EXEC_H

#include "engine/chat/go_func.h"

enum {
    GO_STEPS_MAX = 3000000,    /* nodes visited, 64 bytes of text copied or compared, ... */
    GO_DEPTH_MAX = 500,        /* lists and pipelines inside each other, calls included */
    GO_STACK_MAX = 4096,       /* variables of all active templates */
    GO_ARGS_MAX = 1024,        /* arguments of all active calls */
    GO_OUTPUT_MAX = 16 << 20,  /* bytes of one rendering */
    GO_STRINGS_MAX = 64 << 20, /* bytes of all strings that functions make */
    GO_COMPOSITE_BYTES = 2,    /* bytes of printed lists, maps and numbers in one step */
    GO_TEXT_BYTES = 64         /* bytes of plain text in one step */
};

enum go_flow { GO_FLOW_ON, GO_FLOW_BREAK, GO_FLOW_CONTINUE };

struct go_variable {
    struct go_str name;
    struct go_value value;
};

struct go_run {
    const struct go_tree *tree;
    struct oll_strbuf *out;
    size_t out_start;
    struct oll_error *err;
    struct oll_arena arena;
    struct go_call call;
    struct go_variable *vars;
    uint32_t n_vars, first_var; /* of the template in work */
    struct go_value *args;
    uint32_t n_args;
    struct go_str name;       /* of the template in work */
    const struct go_node *at; /* whose text an error shows */
    uint64_t steps;
    uint32_t depth;
    enum go_flow flow;
};

/* `out` is appended to. The run must be closed, also after a failure. */
oll_status go_run_open(struct go_run *run, const struct go_tree *tree, int64_t now,
                       struct oll_strbuf *out, struct oll_error *err) OLL_MUST_USE;
void go_run_close(struct go_run *run);
/* Executes a list as the main template. */
oll_status go_run_list(struct go_run *run, const struct go_node *list,
                       const struct go_root *data) OLL_MUST_USE;

/* ---- between go_exec.c and go_eval.c ---- */

oll_status go_run_fail(struct go_run *run, const char *fmt, ...) OLL_PRINTF(2, 3);
oll_status go_run_limit(struct go_run *run, const char *what, long long limit);
/* Counts `n` steps. */
oll_status go_run_step(struct go_run *run, uint64_t n) OLL_MUST_USE;
oll_status go_run_enter(struct go_run *run) OLL_MUST_USE;
oll_status go_run_declare(struct go_run *run, struct go_str name,
                          struct go_value value) OLL_MUST_USE;
/* Evaluates a pipeline and declares or assigns its variables. */
oll_status go_run_pipeline(struct go_run *run, const struct go_value *dot,
                           const struct go_node *pipe, struct go_value *out) OLL_MUST_USE;
oll_status go_run_assign(struct go_run *run, struct go_str name,
                         struct go_value value) OLL_MUST_USE;

#endif
