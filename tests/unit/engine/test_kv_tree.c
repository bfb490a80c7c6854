/* The tree of KV pages: what is found, what is forgotten, and that there is always room. */
#include "engine/kv_tree.h"
#include "tests/testing.h"

static int32_t chain[8][OLL_KV_PAGE];

static void fill_chain(void)
{
    for (int32_t p = 0; p < 8; p++)
        for (int32_t i = 0; i < OLL_KV_PAGE; i++)
            chain[p][i] = p * 100 + i;
}

static struct kv_tree *new_tree(uint32_t n_page)
{
    struct kv_tree *tree = NULL;
    fill_chain();
    CHECK_OK(kv_tree_new(n_page, &tree, NULL));
    return tree;
}

static int32_t add(struct kv_tree *tree, struct kv_space space, int32_t parent, int p)
{
    int32_t page = kv_tree_take(tree);
    if (page != KV_NO_PAGE)
        kv_tree_add(tree, space, parent, chain[p], page);
    return page;
}

TEST(pages_are_found_by_all_that_precedes_them)
{
    struct kv_tree *tree = new_tree(6);
    struct kv_space none = {{0}}, key = {{1, 2}}, other = {{1, 3}};
    int32_t a = add(tree, none, KV_NO_PAGE, 0), b = add(tree, none, a, 1);
    int32_t c = add(tree, key, KV_NO_PAGE, 0);
    CHECK_EQ(kv_tree_find(tree, none, KV_NO_PAGE, chain[0]), a);
    CHECK_EQ(kv_tree_find(tree, none, a, chain[1]), b);
    CHECK_EQ(kv_tree_find(tree, none, KV_NO_PAGE, chain[1]), KV_NO_PAGE);
    CHECK_EQ(kv_tree_find(tree, none, b, chain[1]), KV_NO_PAGE);
    CHECK_EQ(kv_tree_find(tree, key, KV_NO_PAGE, chain[0]), c);
    CHECK_EQ(kv_tree_find(tree, other, KV_NO_PAGE, chain[0]), KV_NO_PAGE);
    CHECK(!kv_tree_is_private(tree, a));
    uint32_t n_common;
    int32_t part[OLL_KV_PAGE];
    for (int i = 0; i < OLL_KV_PAGE; i++)
        part[i] = i < 20 ? chain[1][i] : -1;
    CHECK_EQ(kv_tree_nearest(tree, none, a, part, OLL_KV_PAGE, &n_common), b);
    CHECK_EQ(n_common, 20);
    CHECK_EQ(kv_tree_nearest(tree, none, a, part, 7, &n_common), b);
    CHECK_EQ(n_common, 7);
    CHECK_EQ(kv_tree_nearest(tree, none, a, part, 0, &n_common), KV_NO_PAGE);
    CHECK_EQ(kv_tree_nearest(tree, other, a, part, 9, &n_common), KV_NO_PAGE);
    kv_tree_free(tree);
}

TEST(room_is_made_from_the_leaves_by_age)
{
    struct kv_tree *tree = new_tree(4);
    struct kv_space none = {{0}};
    int32_t a = add(tree, none, KV_NO_PAGE, 0), b = add(tree, none, a, 1);
    int32_t c = add(tree, none, KV_NO_PAGE, 2), d = add(tree, none, KV_NO_PAGE, 3);
    CHECK_EQ(kv_tree_take(tree), KV_NO_PAGE); /* all are held */
    kv_tree_drop(tree, a);                    /* older than its child, but not a leaf */
    kv_tree_drop(tree, d);
    kv_tree_drop(tree, b);
    CHECK_EQ(kv_tree_take(tree), d);
    CHECK_EQ(kv_tree_take(tree), b);
    CHECK_EQ(kv_tree_find(tree, none, a, chain[1]), KV_NO_PAGE);
    kv_tree_hold(tree, a);
    CHECK_EQ(kv_tree_take(tree), KV_NO_PAGE);
    kv_tree_drop(tree, a);
    CHECK_EQ(kv_tree_take(tree), a);
    CHECK_EQ(kv_tree_find(tree, none, KV_NO_PAGE, chain[2]), c);
    CHECK(kv_tree_is_private(tree, a));
    kv_tree_drop(tree, a); /* private pages are free at once */
    CHECK_EQ(kv_tree_take(tree), a);
    kv_tree_free(tree);
}

int main(int argc, char **argv) { return testing_main(argc, argv); }
