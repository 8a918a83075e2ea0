/*
 * A rotator in a library with one bad habit, named by `-DHABIT=…` when it is compiled; without one it is well behaved. It has no target:
 * it finds the id of a call by looking for it, and answers that it is done.
 */
#include "keywheel_plugin.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NONE 0
#define SEGFAULT 1
#define ABORTS 2
#define EXITS 3
#define LOOPS 4
#define BALLOON 5
#define NO_STATUS 6
#define NOTHING 7
#define HUGE_REPLY 8
#define GARBAGE 9
#define OTHER_CALL 10
#define PRINTS 11
#define WAITS 12
#define OTHER_MAGIC 13
#define OTHER_ABI 14
#define LACKS_CALL 15
#define NO_TABLE 16
#define DIES_ON_LOAD 17
#define NO_INSTANCE 18
#define MANY_LINES 19
#define OVERRUNS_STACK 20
#define OTHER_FORMAT 21
#define SMALL_TABLE 22
#define LOOKS_AROUND 23
#define DEAF 24

#ifndef HABIT
#define HABIT NONE
#endif

#if HABIT == OTHER_FORMAT
#define FORMAT "7"
#else
#define FORMAT "1"
#endif

static const char GREETING[] = "{\"type\":\"rotator\",\"format\":" FORMAT ",\"descriptor\":{\"kind\":\"zoo\",\"version\":\"1.0.0\","
                               "\"shapes\":[\"in_place\"],\"origin\":\"engine\"}}";

struct animal {
    atomic_ullong cancelled;
};

static atomic_int living = 0;

/* How much there was that a confined process does not reach. */
static int reached = 0;

static int32_t give(const char *text, size_t length, struct keywheel_bytes *reply) {
    reply->data = malloc(length);
    if (reply->data == NULL) {
        return KEYWHEEL_FAILED;
    }
    memcpy(reply->data, text, length);
    reply->length = length;
    return KEYWHEEL_DONE;
}

static int32_t describe(const uint8_t *request, size_t length, struct keywheel_bytes *reply) {
    (void)request;
    (void)length;
    return give(GREETING, sizeof GREETING - 1, reply);
}

static int32_t create(void **instance) {
    if (HABIT == NO_INSTANCE) {
        return 9;
    }
    struct animal *animal = calloc(1, sizeof *animal);
    if (animal == NULL) {
        return KEYWHEEL_FAILED;
    }
    atomic_fetch_add(&living, 1);
    *instance = animal;
    return KEYWHEEL_DONE;
}

/* A request need not end with a zero. */
static const char *find(const uint8_t *request, size_t length, const char *what) {
    size_t wanted = strlen(what);
    for (size_t at = 0; at + wanted <= length; at++) {
        if (memcmp(request + at, what, wanted) == 0) {
            return (const char *)request + at + wanted;
        }
    }
    return NULL;
}

static void fault(void) {
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

static int overrun(volatile char *before) {
    volatile char here[4096];
    here[0] = before == NULL ? 1 : before[0];
    return overrun(here) + here[0];
}

static int32_t call(void *instance, const uint8_t *request, size_t length, struct keywheel_bytes *reply) {
    struct animal *animal = instance;
    const char *number = find(request, length, "\"id\":");
    unsigned long long id = number == NULL ? 0 : strtoull(number, NULL, 10);
    char text[256];
    if (find(request, length, "\"call\":\"probe\"") != NULL) {
        snprintf(text, sizeof text, "{\"type\":\"reply\",\"id\":%llu,\"answer\":\"yes\"}", id);
        return give(text, strlen(text), reply);
    }
    if (find(request, length, "\"call\":\"usage\"") != NULL) {
        snprintf(text, sizeof text, "{\"type\":\"reply\",\"id\":%llu,\"sessions\":%d}", id, atomic_load(&living));
        return give(text, strlen(text), reply);
    }
    switch (HABIT) {
    case SEGFAULT:
        fault();
        break;
    case ABORTS:
        abort();
    case EXITS:
        _exit(3);
    case LOOPS:
        for (volatile int for_ever = 1; for_ever;) {
        }
        break;
    case BALLOON:
        for (;;) {
            char *more = malloc(1 << 20);
            if (more == NULL) {
                abort();
            }
            memset(more, 1, 1 << 20);
        }
    case NO_STATUS:
        return 7;
    case NOTHING:
        return KEYWHEEL_DONE;
    case HUGE_REPLY: {
        reply->length = (size_t)2 << 20;
        reply->data = calloc(1, reply->length);
        return reply->data == NULL ? KEYWHEEL_FAILED : KEYWHEEL_DONE;
    }
    case GARBAGE:
        return give("\377\376", 2, reply);
    case OTHER_CALL:
        id += 7;
        break;
    case PRINTS:
        printf("{\"type\":\"reply\",\"id\":%llu,\"error\":{\"effect\":\"none\",\"retry\":\"never\",\"code\":\"printed\",\"message\":\"\"}}\n", id);
        fflush(stdout);
        break;
    case WAITS:
        while (atomic_load(&animal->cancelled) < id) {
            usleep(1000);
        }
        break;
    case LOOKS_AROUND:
        snprintf(text, sizeof text,
                 "{\"type\":\"reply\",\"id\":%llu,\"error\":{\"effect\":\"unknown\",\"retry\":\"never\",\"code\":\"found\",\"message\":\"reached %d\"}}",
                 id, reached);
        return give(text, strlen(text), reply);
    case DEAF:
        for (;;) {
            pause();
        }
    case OVERRUNS_STACK:
        return overrun(NULL);
    }
    snprintf(text, sizeof text, HABIT == MANY_LINES ? "{\n\"type\": \"reply\",\n\"id\": %llu\n}\n" : "{\"type\":\"reply\",\"id\":%llu}", id);
    return give(text, strlen(text), reply);
}

static void cancel(void *instance, uint64_t id) {
    struct animal *animal = instance;
    atomic_store(&animal->cancelled, id);
}

static void destroy(void *instance) {
    atomic_fetch_sub(&living, 1);
    free(instance);
}

static void release(struct keywheel_bytes reply) {
    memset(reply.data, 0, reply.length);
    free(reply.data);
}

#if HABIT == DIES_ON_LOAD
__attribute__((constructor)) static void die(void) {
    fault();
}
#endif

#if HABIT == LOOKS_AROUND
__attribute__((constructor)) static void look_around(void) {
    reached += open("/proc/self/maps", O_RDONLY) >= 0;
    reached += socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
#endif

#if HABIT != NO_TABLE
const struct keywheel_rotator keywheel_rotator_1 = {
    .magic = HABIT == OTHER_MAGIC ? 1 : KEYWHEEL_MAGIC,
    .abi = HABIT == OTHER_ABI ? 2 : KEYWHEEL_ABI,
    .size = HABIT == SMALL_TABLE ? 24 : sizeof(struct keywheel_rotator),
    .sdk = "animal.c",
    .describe = describe,
    .create = create,
    .call = HABIT == LACKS_CALL ? NULL : call,
    .cancel = cancel,
    .destroy = destroy,
    .release = release,
};
#endif
