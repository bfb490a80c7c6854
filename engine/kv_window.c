#include "engine/kv_window.h"

#include "engine/base/mem.h"

struct window_page {
    int32_t node, next; /* KV_NO_PAGE: of none; in the list of free pages */
    uint32_t n_holders;
    uint64_t used; /* order of use */
};

struct kv_window {
    uint32_t n_page;
    int32_t free;
    uint64_t tick;
    struct window_page *pages; /* [n_page] */
    int32_t *of;               /* [n_node] */
};

oll_status kv_window_new(uint32_t n_page, uint32_t n_node, struct kv_window **out,
                         struct oll_error *err)
{
    struct kv_window *win = oll_calloc(1, sizeof *win);
    if (!win)
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for the pages of a window");
    win->n_page = n_page;
    win->pages = oll_calloc(n_page, sizeof *win->pages);
    win->of = oll_alloc(n_node, sizeof *win->of);
    if (!win->pages || !win->of) {
        kv_window_free(win);
        return OLL_FAIL(err, OLL_ERR_MEMORY, "no memory for %u pages of a window", n_page);
    }
    for (uint32_t i = 0; i < n_node; i++)
        win->of[i] = KV_NO_PAGE;
    for (uint32_t i = 0; i < n_page; i++) {
        win->pages[i].node = KV_NO_PAGE;
        win->pages[i].next = i + 1 < n_page ? (int32_t)i + 1 : KV_NO_PAGE;
    }
    win->free = n_page ? 0 : KV_NO_PAGE;
    *out = win;
    return OLL_OK;
}

void kv_window_free(struct kv_window *win)
{
    if (!win)
        return;
    oll_free(win->pages);
    oll_free(win->of);
    oll_free(win);
}

static void detach(struct kv_window *win, int32_t page)
{
    struct window_page *p = &win->pages[page];
    win->of[p->node] = KV_NO_PAGE;
    p->node = KV_NO_PAGE;
}

static void put_free(struct kv_window *win, int32_t page)
{
    win->pages[page].next = win->free;
    win->free = page;
}

/* The page without holders that has been used least recently. */
static int32_t oldest(const struct kv_window *win)
{
    int32_t best = KV_NO_PAGE;
    for (uint32_t i = 0; i < win->n_page; i++)
        if (win->pages[i].n_holders == 0 &&
            (best == KV_NO_PAGE || win->pages[i].used < win->pages[best].used))
            best = (int32_t)i;
    return best;
}

int32_t kv_window_take(struct kv_window *win)
{
    int32_t page = win->free;
    if (page != KV_NO_PAGE) {
        win->free = win->pages[page].next;
    } else {
        page = oldest(win);
        if (page == KV_NO_PAGE)
            return KV_NO_PAGE;
        detach(win, page);
    }
    win->pages[page].n_holders = 1;
    return page;
}

void kv_window_hold(struct kv_window *win, int32_t page) { win->pages[page].n_holders++; }

void kv_window_drop(struct kv_window *win, int32_t page)
{
    struct window_page *p = &win->pages[page];
    OLL_ASSERT(p->n_holders > 0);
    p->used = ++win->tick;
    if (--p->n_holders == 0 && p->node == KV_NO_PAGE)
        put_free(win, page);
}

int32_t kv_window_of(const struct kv_window *win, int32_t node) { return win->of[node]; }

void kv_window_attach(struct kv_window *win, int32_t node, int32_t page)
{
    OLL_ASSERT(win->of[node] == KV_NO_PAGE && win->pages[page].node == KV_NO_PAGE);
    win->of[node] = page;
    win->pages[page].node = node;
}

void kv_window_forget(struct kv_window *win, int32_t node)
{
    const int32_t page = win->of[node];
    if (page == KV_NO_PAGE)
        return;
    detach(win, page);
    if (win->pages[page].n_holders == 0)
        put_free(win, page);
}
