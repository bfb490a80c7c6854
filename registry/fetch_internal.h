/* The parts of a download. One thread runs the transfers (fetch_units.c) and two stand behind it
 * (fetch_workers.c): one hashes what is there without a gap, one makes it durable. */
#ifndef OLL_REGISTRY_FETCH_INTERNAL_H
#define OLL_REGISTRY_FETCH_INTERNAL_H

#include "registry/blob_fetch.h"
#include "registry/chunk_sums.h"
#include "registry/part_file.h"

#include <pthread.h>

enum {
    FETCH_UNITS_MAX = 8,         /* ranges on their way at once */
    FETCH_UNIT_BYTES = 32 << 20, /* of one range */
    FETCH_SYNC_BYTES = 64 << 20, /* at most so much is fetched again after a crash, */
    FETCH_SYNC_MS = 2000,        /* or what came in this time */
    FETCH_TICK_MS = 60,
    FETCH_ERROR_BYTES = 4096
};

struct fetch;

struct fetch_unit {
    struct fetch *fetch;
    uint64_t begin, pos, end;        /* [begin, pos) is there, [pos, end) is asked for */
    uint64_t try_pos;                /* where the present try began */
    uint64_t not_before_ns;          /* pause before the next try; without a transfer */
    struct https_transfer *transfer; /* NULL while it waits */
    bool used;
    bool whole;             /* asked without a range */
    int n_tries, n_answers; /* since it got forward */
    uint32_t identity;      /* that the present try showed, see oci_identity */
    char url[HTTPS_URL_MAX];
    struct oll_strbuf refusal; /* body of a reply that is no data */
};

struct fetch {
    const struct blob_fetch *config;
    struct part_file part;
    /* Under the lock: what the workers read. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct span_set have;
    struct fetch_unit units[FETCH_UNITS_MAX];
    uint64_t head; /* all before it is there */
    uint64_t hashed;
    uint64_t unsynced; /* bytes since the last record */
    bool stop;
    oll_status status; /* of a worker */
    struct oll_error err;
    /* Of the thread of the transfers. */
    char url[HTTPS_URL_MAX]; /* where ranges are asked for: the registry, or where it sent us */
    int n_hops;
    bool proven;    /* a reply with data has come from there: more may be asked at once */
    bool no_ranges; /* the registry sends whole blobs alone */
    bool restart;   /* it did so where a range was asked for */
    bool excess;    /* it sent more than the manifest says: what came is not to be trusted */
    uint64_t shown; /* progress never falls */
    /* Of the workers. */
    pthread_t hasher, syncer;
    bool workers_run;
    struct oll_chunk_sums *sums;
};

/* Starts both workers on what `have` and `head` say. */
oll_status fetch_workers_start(struct fetch *f, struct oll_error *err) OLL_MUST_USE;
/* Ends them; the last bytes are recorded if `record`. The failure of a worker is reported. */
oll_status fetch_workers_stop(struct fetch *f, bool record, struct oll_error *err) OLL_MUST_USE;
/* Waits until all bytes are hashed, with `f->config->client` polled for cancellation. */
oll_status fetch_wait_hashed(struct fetch *f, struct oll_error *err) OLL_MUST_USE;

/* Brings all bytes that are missing. On OLL_OK with f->restart set everything is to be begun anew
 * without ranges. */
oll_status fetch_units_run(struct fetch *f, struct oll_error *err) OLL_MUST_USE;

#endif
