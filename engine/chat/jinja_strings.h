/* Python's methods of str: what filters and methods of the Jinja engine have in common. */
#ifndef OLL_CHAT_JINJA_STRINGS_H
#define OLL_CHAT_JINJA_STRINGS_H

#include "engine/chat/jinja_value.h"

enum jinja_case { JINJA_UPPER, JINJA_LOWER, JINJA_CAPITALIZE, JINJA_TITLE, JINJA_SWAPCASE };

struct jinja_value jinja_change_case(struct jinja_run *run, const struct jinja_str *s,
                                     enum jinja_case how);
/* `chars`: the set to strip; NULL: white space. */
struct jinja_value jinja_strip(struct jinja_run *run, const struct jinja_str *s,
                               const struct jinja_str *chars, bool left, bool right);
/* At most `count` places, negative: all. `in` is a string. */
struct jinja_value jinja_replace(struct jinja_run *run, struct jinja_value in,
                                 const struct jinja_str *old, const struct jinja_str *new_text,
                                 int64_t count);
/* `sep` NULL: runs of white space. At most `max` cuts, negative: all. */
struct jinja_value jinja_split(struct jinja_run *run, const struct jinja_str *s,
                               const struct jinja_str *sep, int64_t max, bool from_right);
struct jinja_value jinja_split_lines(struct jinja_run *run, const struct jinja_str *s, bool keep);
/* `strict`: items must be strings (str.join), otherwise they are printed (the filter). */
struct jinja_value jinja_join(struct jinja_run *run, const struct jinja_str *sep,
                              const struct jinja_seq *q, bool strict);
/* str.format and the % operator of strings (jinja_format.c). */
struct jinja_value jinja_format(struct jinja_run *run, const struct jinja_str *s,
                                const struct jinja_args *args);
struct jinja_value jinja_percent(struct jinja_run *run, const struct jinja_str *s,
                                 const struct jinja_args *args);

#endif
