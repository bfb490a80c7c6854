/* A node as Go prints it in error messages. */
#include "engine/chat/go_node.h"

static void add(struct oll_strbuf *out, struct go_str s) { oll_strbuf_add(out, s.s, s.n); }

static void print_fields(struct oll_strbuf *out, const struct go_node *node, uint32_t from)
{
    for (uint32_t i = from; i < node->n_names; i++) {
        oll_strbuf_addc(out, '.');
        add(out, node->names[i]);
    }
}

static void print_pipe(struct oll_strbuf *out, const struct go_node *pipe)
{
    for (uint32_t i = 0; i < pipe->n_names; i++) {
        oll_strbuf_adds(out, i ? ", " : "");
        add(out, pipe->names[i]);
    }
    if (pipe->n_names)
        oll_strbuf_adds(out, pipe->is_assign ? " = " : " := ");
    for (const struct go_node *c = pipe->first; c; c = c->next) {
        if (c != pipe->first)
            oll_strbuf_adds(out, " | ");
        go_node_print(out, c);
    }
}

static void print_nested(struct oll_strbuf *out, const struct go_node *node)
{
    const bool parens = node->type == GO_NODE_PIPE;
    oll_strbuf_adds(out, parens ? "(" : "");
    go_node_print(out, node);
    oll_strbuf_adds(out, parens ? ")" : "");
}

static void print_command(struct oll_strbuf *out, const struct go_node *command)
{
    for (const struct go_node *a = command->first; a; a = a->next) {
        if (a != command->first)
            oll_strbuf_addc(out, ' ');
        print_nested(out, a);
    }
}

static void print_branch(struct oll_strbuf *out, const char *word, const struct go_node *node)
{
    oll_strbuf_printf(out, "{{%s ", word);
    print_pipe(out, node->pipe);
    oll_strbuf_adds(out, "}}");
    go_node_print(out, node->first);
    if (node->other) {
        oll_strbuf_adds(out, "{{else}}");
        go_node_print(out, node->other);
    }
    oll_strbuf_adds(out, "{{end}}");
}

static void print_template(struct oll_strbuf *out, const struct go_node *node)
{
    oll_strbuf_adds(out, "{{template ");
    go_quote(out, node->value);
    if (node->pipe) {
        oll_strbuf_addc(out, ' ');
        print_pipe(out, node->pipe);
    }
    oll_strbuf_adds(out, "}}");
}

static void print_list(struct oll_strbuf *out, const struct go_node *list)
{
    for (const struct go_node *n = list->first; n; n = n->next)
        go_node_print(out, n);
}

void go_node_print(struct oll_strbuf *out, const struct go_node *node)
{
    if (out->status != OLL_OK)
        return;
    switch ((enum go_node_type)node->type) {
    case GO_NODE_LIST: print_list(out, node); break;
    case GO_NODE_ACTION:
        oll_strbuf_adds(out, "{{");
        print_pipe(out, node->pipe);
        oll_strbuf_adds(out, "}}");
        break;
    case GO_NODE_IF: print_branch(out, "if", node); break;
    case GO_NODE_WITH: print_branch(out, "with", node); break;
    case GO_NODE_RANGE: print_branch(out, "range", node); break;
    case GO_NODE_BREAK: oll_strbuf_adds(out, "{{break}}"); break;
    case GO_NODE_CONTINUE: oll_strbuf_adds(out, "{{continue}}"); break;
    case GO_NODE_TEMPLATE: print_template(out, node); break;
    case GO_NODE_ELSE: oll_strbuf_adds(out, "{{else}}"); break;
    case GO_NODE_END: oll_strbuf_adds(out, "{{end}}"); break;
    case GO_NODE_PIPE: print_pipe(out, node); break;
    case GO_NODE_COMMAND: print_command(out, node); break;
    case GO_NODE_FIELD: print_fields(out, node, 0); break;
    case GO_NODE_VARIABLE:
        add(out, node->names[0]);
        print_fields(out, node, 1);
        break;
    case GO_NODE_CHAIN:
        print_nested(out, node->first);
        print_fields(out, node, 0);
        break;
    case GO_NODE_TEXT:
    case GO_NODE_IDENT:
    case GO_NODE_DOT:
    case GO_NODE_NIL:
    case GO_NODE_BOOL:
    case GO_NODE_INT:
    case GO_NODE_FLOAT:
    case GO_NODE_STRING: add(out, node->text); break;
    }
}
