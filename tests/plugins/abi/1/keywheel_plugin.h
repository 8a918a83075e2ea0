/*
 * The border between keywheel and a rotator in a dynamic library, version 1.
 *
 * A library exports one constant, `keywheel_rotator_1`. Messages are JSON objects in UTF-8 of 1 MiB at most, with or without a
 * line feed at their end; rotators/sdk/src/message/mod.rs describes them, and rotators/sdk/src/rotator.rs what each call must do.
 *
 * - A request is the host's; it may be read until the function returns.
 * - A reply is the library's; the host gives it back once, by `release`. It may hold a secret: overwrite it there.
 * - The host calls `create` for each instance that it wants. It makes one call of an instance at a time, not always from the same
 *   thread, and calls of several instances beside each other. All other functions may come from any thread and beside each other,
 *   but `destroy` last.
 * - No C++ exception and no longjmp leaves a function.
 * - What is written to standard output or standard error is logged, where the library has a process of its own.
 */
#ifndef KEYWHEEL_PLUGIN_H
#define KEYWHEEL_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "KEYWHEEL" in ASCII, the first letter in the highest byte. */
#define KEYWHEEL_MAGIC UINT64_C(0x4b4559574845454c)
#define KEYWHEEL_ABI UINT32_C(1)

/* The statuses of functions. Any but KEYWHEEL_DONE means that there is no reply. */
#define KEYWHEEL_DONE 0
#define KEYWHEEL_FAILED 1

struct keywheel_bytes {
    uint8_t *data; /* NULL where there are none */
    size_t length;
};

struct keywheel_rotator {
    uint64_t magic; /* KEYWHEEL_MAGIC */
    uint32_t abi;   /* KEYWHEEL_ABI; another table has another number, and another symbol */
    uint32_t size;  /* sizeof(struct keywheel_rotator) */
    char sdk[32];   /* what it was built with, for people, such as "lamp.c 1.0"; zeros after it */
    /* Takes the message `hello` and gives the message `rotator`. Opens nothing. May be called before `create`. */
    int32_t (*describe)(const uint8_t *request, size_t length, struct keywheel_bytes *reply);
    /* Makes an instance; NULL may be one. */
    int32_t (*create)(void **instance);
    /* Takes a message `call` and gives the message `reply`. Where it gives none, the outcome of the call is unknown. */
    int32_t (*call)(void *instance, const uint8_t *request, size_t length, struct keywheel_bytes *reply);
    /*
     * Nobody waits for the call with this id any longer. It begins no change from now on and returns soon; its outcome is unknown
     * to the engine whatever it answers. Comes from another thread, between `create` and `destroy`, perhaps after the call has
     * ended. It does not wait for the call. In a process of its own, a library is killed at about the same moment.
     */
    void (*cancel)(void *instance, uint64_t id);
    /* Ends an instance. No call of it runs, and none comes. */
    void (*destroy)(void *instance);
    /* Takes back what `describe` or `call` gave. */
    void (*release)(struct keywheel_bytes reply);
};

#if defined(_WIN32)
__declspec(dllexport)
#elif defined(__GNUC__)
__attribute__((visibility("default")))
#endif
extern const struct keywheel_rotator keywheel_rotator_1;

#ifdef __cplusplus
}
#endif

#endif
