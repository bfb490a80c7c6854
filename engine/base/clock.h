/* Monotonic time, and time used. */
#ifndef OLL_BASE_CLOCK_H
#define OLL_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since an arbitrary start; never runs backwards. */
uint64_t oll_clock_ns(void);
/* Processor time that the calling thread has used: waiting does not count. */
uint64_t oll_clock_thread_ns(void);

#endif
