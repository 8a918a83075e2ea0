/*
 * The rotator @NAME@: it changes passwords of accounts at a target. C11, with jansson for JSON.
 *
 * keywheel hands in calls and takes replies, each one JSON object. Two questions matter more than all others when something goes wrong:
 * did it happen, and what next? What may have happened is never called "none".
 *
 * To make it yours: replace `ask`, `login`, `put` and `take_away`, which talk with the target, and the settings in DESCRIPTOR.
 */
#include "keywheel_plugin.h"

#include <errno.h>
#include <jansson.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char DESCRIPTOR[] =
    "{\"kind\":\"@NAME@\",\"version\":\"0.1.0\",\"shapes\":[\"in_place\",\"alternating\"],\"origin\":\"engine\",\"settings\":["
    "{\"name\":\"host\",\"kind\":\"text\",\"required\":true,\"help\":\"where the target is\"},"
    "{\"name\":\"port\",\"kind\":{\"integer\":{\"min\":1,\"max\":65535}},\"required\":true,\"help\":\"where it listens\"}]}";

/* The longest answer of the target. */
#define ANSWER 65536

struct instance {
    /* The last call that nobody waits for any longer. Their numbers grow. */
    atomic_ullong given_up;
};

/* One call, with its time and its arguments. Each may come again after any crash: twice must end as once. */
struct call {
    struct instance *instance;
    json_t *message;
    struct timespec until;
    bool in_place;
    /* As long as nothing was changed, a failure changed nothing. */
    const char *effect;
    /* What went wrong: see fail(). Words of ours, and none of the target's: those may hold what it was sent. */
    bool failed;
    const char *retry;
    const char *code;
    const char *words;
};

/* retry: what helps: "now", "never" (a person must act), or "new_candidate" (another value). */
static bool fail(struct call *call, const char *retry, const char *code, const char *words) {
    call->failed = true;
    call->retry = retry;
    call->code = code;
    call->words = words;
    return false;
}

static const char *text_of(const json_t *object, const char *member) {
    const char *text = json_string_value(json_object_get(object, member));
    return text == NULL ? "" : text;
}

/* Overwrites texts that hold secrets before their memory is given back. What jansson has of a message it frees as it is. */
static void forget(void *memory, size_t length) {
    volatile unsigned char *byte = memory;
    while (length-- > 0) {
        *byte++ = 0;
    }
}

/* The talk with the target. */

static int milliseconds_left(const struct call *call) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long left = (call->until.tv_sec - now.tv_sec) * 1000LL + (call->until.tv_nsec - now.tv_nsec) / 1000000;
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

static bool is_given_up(const struct call *call) {
    return atomic_load(&call->instance->given_up) >= (unsigned long long)json_integer_value(json_object_get(call->message, "id"));
}

static bool wait_for(const struct call *call, int line, short events) {
    struct pollfd polled = {.fd = line, .events = events};
    int left = milliseconds_left(call);
    return left > 0 && poll(&polled, 1, left) == 1;
}

static int connected(struct call *call) {
    json_t *settings = json_object_get(json_object_get(call->message, "target"), "settings");
    char port[16];
    snprintf(port, sizeof port, "%lld", (long long)json_integer_value(json_object_get(settings, "port")));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(text_of(settings, "host"), port, &hints, &found) != 0) {
        return -1;
    }
    int line = -1;
    for (struct addrinfo *at = found; at != NULL && line < 0; at = at->ai_next) {
        line = socket(at->ai_family, at->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, at->ai_protocol);
        if (line < 0) {
            continue;
        }
        int error = 0;
        socklen_t size = sizeof error;
        bool begun = connect(line, at->ai_addr, at->ai_addrlen) == 0 || errno == EINPROGRESS;
        if (!begun || !wait_for(call, line, POLLOUT) || getsockopt(line, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
            close(line);
            line = -1;
        }
    }
    freeaddrinfo(found);
    return line;
}

static bool sent(const struct call *call, int line, const char *text, size_t length) {
    while (length > 0) {
        if (!wait_for(call, line, POLLOUT)) {
            return false;
        }
        ssize_t count = send(line, text, length, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        if (count > 0) {
            text += count;
            length -= (size_t)count;
        }
    }
    return true;
}

static json_t *received(const struct call *call, int line) {
    char *answer = malloc(ANSWER);
    size_t length = 0;
    json_t *read = NULL;
    while (answer != NULL && length < ANSWER && wait_for(call, line, POLLIN)) {
        ssize_t count = recv(line, answer + length, ANSWER - length, 0);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
            break;
        }
        length += count > 0 ? (size_t)count : 0;
        if (length > 0 && answer[length - 1] == '\n') {
            read = json_loadb(answer, length, 0, NULL);
            break;
        }
    }
    free(answer);
    return read;
}

/* The target's answer to one message, which is taken over; NULL if there is none. */
static json_t *ask(struct call *call, json_t *message, bool changes) {
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text == NULL) {
        fail(call, "never", "memory", "there is no memory for a message");
        return NULL;
    }
    json_t *answer = NULL;
    int line = connected(call);
    if (line < 0) {
        fail(call, "now", "unreachable", "the target cannot be reached in time");
    } else if (is_given_up(call)) {
        fail(call, "now", "given-up", "nobody waits for this call any longer");
        close(line);
    } else {
        if (changes) {
            /* From here on it may happen, whatever we hear of it. */
            call->effect = "unknown";
        }
        if (sent(call, line, text, strlen(text)) && sent(call, line, "\n", 1)) {
            answer = received(call, line);
        }
        if (answer == NULL) {
            fail(call, "now", "no-answer", "the target gave no answer");
        }
        close(line);
    }
    forget(text, strlen(text));
    free(text);
    return answer;
}

static bool is_ok(const json_t *answer) {
    return json_is_true(json_object_get(answer, "ok"));
}

/* Only what says no is a no: all else is no answer. */
static bool says_no(const json_t *answer, const char *why) {
    return json_is_false(json_object_get(answer, "ok")) && (why == NULL || strcmp(text_of(answer, "why"), why) == 0);
}

/* Whether the target lets this credential in: 1 or 0, and -1 where that failed. */
static int login(struct call *call, const json_t *credential) {
    json_t *answer = ask(call, json_pack("{s:s, s:s, s:s}", "do", "login", "user", text_of(credential, "username"), "password",
                                         text_of(credential, "password")), false);
    int accepted = is_ok(answer) ? 1 : says_no(answer, "wrong password") || says_no(answer, "no such account") ? 0 : -1;
    if (answer != NULL && accepted < 0) {
        fail(call, "now", "no-answer", "the target said neither yes nor no");
    }
    json_decref(answer);
    return accepted;
}

static bool change(struct call *call, json_t *message) {
    const char *before = call->effect;
    json_t *admin = json_object_get(json_object_get(call->message, "target"), "admin");
    json_object_set_new(message, "admin", json_string(text_of(admin, "password")));
    json_t *answer = ask(call, message, true);
    bool done = is_ok(answer);
    if (says_no(answer, NULL)) {
        /* It said no, so this message changed nothing. */
        call->effect = before;
        if (says_no(answer, "password not allowed")) {
            fail(call, "new_candidate", "not-allowed", "the target does not take such a password");
        } else if (says_no(answer, "wrong admin password")) {
            fail(call, "never", "admin", "the target refuses the admin");
        } else {
            fail(call, "never", "refused", "the target refuses the change");
        }
    } else if (answer != NULL && !done) {
        fail(call, "now", "no-answer", "the target said neither yes nor no to a change");
    }
    json_decref(answer);
    return done;
}

/* Makes the account, or gives it another password. */
static bool put(struct call *call, const json_t *credential) {
    return change(call, json_pack("{s:s, s:s, s:s}", "do", "set", "user", text_of(credential, "username"), "password",
                                  text_of(credential, "password")));
}

/* Takes the account away. Fine if it is not there. */
static bool take_away(struct call *call, const json_t *credential) {
    return change(call, json_pack("{s:s, s:s}", "do", "remove", "user", text_of(credential, "username")));
}

/* What the calls have in common. */

static bool see(struct call *call, const json_t *credential, bool accepted) {
    int is = login(call, credential);
    if (is >= 0 && is != accepted) {
        return fail(call, "now", "not-so", accepted ? "the credential is refused" : "the credential is still accepted");
    }
    return is >= 0;
}

/* What is live is never ended. */
static bool other_than(struct call *call, const json_t *ended, const json_t *live) {
    const char *field = call->in_place ? "password" : "username";
    if (strcmp(text_of(ended, field), text_of(live, field)) == 0) {
        return fail(call, "never", "live", "it is the live one");
    }
    return true;
}

/* The calls. Each returns whether it was done, and adds to the reply what was asked for. */

/* Reads only: would a rotation work? All that was found, not the first. */
static bool preflight(struct call *call, json_t *reply) {
    json_t *admin = json_object_get(json_object_get(call->message, "target"), "admin");
    json_t *answer = ask(call, json_pack("{s:s, s:s}", "do", "accounts", "admin", text_of(admin, "password")), false);
    if (answer == NULL) {
        return false;
    }
    json_t *found = is_ok(answer) ? json_pack("{s:s, s:s, s:s}", "severity", "fine", "what", "the admin may look at accounts", "hint", "")
                                  : json_pack("{s:s, s:s, s:s}", "severity", "error", "what", "the admin may not look at accounts", "hint",
                                              "is it the right admin?");
    json_object_set_new(reply, "findings", json_pack("[o]", found));
    json_decref(answer);
    return true;
}

/* Reads only: is this credential accepted now? No answer is no "no". */
static bool probe(struct call *call, json_t *reply) {
    int accepted = login(call, json_object_get(call->message, "credential"));
    if (accepted < 0) {
        return false;
    }
    json_object_set_new(reply, "answer", json_string(accepted ? "yes" : "no"));
    json_object_set_new(reply, "reason", json_string(accepted ? "" : "the target refuses it"));
    return true;
}

/* From now on the candidate is accepted. */
static bool apply(struct call *call, const json_t *candidate, const json_t *current) {
    if (current != NULL && !call->in_place && !other_than(call, candidate, current)) {
        return false;
    }
    return put(call, candidate) && see(call, candidate, true);
}

/* Undoes apply, also where that never happened: the candidate is refused, and current is accepted. */
static bool restore(struct call *call, const json_t *candidate, const json_t *current) {
    if (current != NULL && !other_than(call, candidate, current)) {
        return false;
    }
    bool done = call->in_place && current != NULL ? put(call, current) && see(call, current, true) : take_away(call, candidate);
    return done && see(call, candidate, false);
}

/* The previous credential is refused, and that is seen. Fine if it is already. Current works on. */
static bool revoke_previous(struct call *call, const json_t *previous, const json_t *current) {
    if (!other_than(call, previous, current) || !see(call, current, true)) {
        return false;
    }
    return (call->in_place || take_away(call, previous)) && see(call, previous, false);
}

/* Logs in as the application would, and changes nothing. A check that it does not know is none that passed. */
static bool verify(struct call *call, const json_t *candidate) {
    size_t at;
    json_t *check;
    json_array_foreach(json_object_get(call->message, "checks"), at, check) {
        if (!json_is_string(check) || strcmp(json_string_value(check), "login") != 0) {
            return fail(call, "never", "unsupported", "it has no check but the login: leave others out of the policy");
        }
    }
    return see(call, candidate, true);
}

static bool answered(struct call *call, json_t *reply) {
    const char *verb = text_of(call->message, "call");
    const json_t *candidate = json_object_get(call->message, "candidate");
    const json_t *current = json_object_get(call->message, "current");
    if (strcmp(verb, "preflight") == 0) {
        return preflight(call, reply);
    }
    if (strcmp(verb, "probe") == 0) {
        return probe(call, reply);
    }
    if (strcmp(verb, "apply") == 0) {
        return apply(call, candidate, current);
    }
    if (strcmp(verb, "verify") == 0) {
        return verify(call, candidate);
    }
    if (strcmp(verb, "restore") == 0) {
        return restore(call, candidate, current);
    }
    if (strcmp(verb, "revoke") == 0) {
        return revoke_previous(call, json_object_get(call->message, "previous"), current);
    }
    return fail(call, "never", "unsupported", "this rotator does not know such a call");
}

/* The border to keywheel. */

/* Gives a message over, which is taken. */
static int32_t give(json_t *message, struct keywheel_bytes *reply) {
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text == NULL) {
        return KEYWHEEL_FAILED;
    }
    reply->data = (uint8_t *)text;
    reply->length = strlen(text);
    return KEYWHEEL_DONE;
}

static int32_t describe_it(const uint8_t *request, size_t length, struct keywheel_bytes *reply) {
    (void)request;
    (void)length;
    return give(json_pack("{s:s, s:i, s:o}", "type", "rotator", "format", 1, "descriptor", json_loads(DESCRIPTOR, 0, NULL)), reply);
}

static int32_t create_one(void **instance) {
    struct instance *made = calloc(1, sizeof *made);
    *instance = made;
    return made == NULL ? KEYWHEEL_FAILED : KEYWHEEL_DONE;
}

static int32_t call_it(void *instance, const uint8_t *request, size_t length, struct keywheel_bytes *reply) {
    struct call call = {.instance = instance, .message = json_loadb((const char *)request, length, 0, NULL), .effect = "none"};
    if (call.message == NULL) {
        return KEYWHEEL_FAILED;
    }
    clock_gettime(CLOCK_MONOTONIC, &call.until);
    json_int_t left = json_integer_value(json_object_get(call.message, "left_ms"));
    call.until.tv_sec += left / 1000;
    call.until.tv_nsec += left % 1000 * 1000000;
    call.in_place = json_object_get(json_object_get(json_object_get(call.message, "target"), "strategy"), "in_place") != NULL;
    json_t *told = json_pack("{s:s, s:O}", "type", "reply", "id", json_object_get(call.message, "id"));
    if (!answered(&call, told)) {
        if (!call.failed) {
            fail(&call, "now", "failed", "it failed");
        }
        json_t *error = json_pack("{s:s, s:s, s:s, s:s}", "effect", call.effect, "retry", call.retry, "code", call.code, "message", call.words);
        /* A reply that lacks its error would say that all is done: then rather none, which leaves the call in doubt. */
        if (json_object_set_new(told, "error", error) != 0) {
            json_decref(told);
            told = NULL;
        }
    }
    json_decref(call.message);
    return told == NULL ? KEYWHEEL_FAILED : give(told, reply);
}

static void cancel_it(void *instance, uint64_t id) {
    atomic_store(&((struct instance *)instance)->given_up, id);
}

static void destroy_one(void *instance) {
    free(instance);
}

static void release_it(struct keywheel_bytes reply) {
    forget(reply.data, reply.length);
    free(reply.data);
}

const struct keywheel_rotator keywheel_rotator_1 = {
    .magic = KEYWHEEL_MAGIC,
    .abi = KEYWHEEL_ABI,
    .size = sizeof(struct keywheel_rotator),
    .sdk = "C, begun by keywheel",
    .describe = describe_it,
    .create = create_one,
    .call = call_it,
    .cancel = cancel_it,
    .destroy = destroy_one,
    .release = release_it,
};
