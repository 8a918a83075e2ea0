#!/bin/sh
# A rotator of values in the slots of the example service, two that take turns, in sh with curl and jq. The messages are described
# in rotators/sdk/src/message/mod.rs. Secrets go by standard input only: arguments are seen by all who list processes.
set -u

get() { printf '%s\n' "$message" | jq -r "$1 // \"\""; }
slot() { get "\"/v1/users/\(.target.settings.user | @uri)/slots/\(.$1.username | @uri)\""; }

# The status of an answer; 000 where there is none. Whose token and which body: paths in the message.
ask() { # method, path, token, body
    printf '%s\n' "$message" | jq -r --arg method "$1" --arg path "$2" --arg token "$3" --arg body "$4" '
        "request = \($method | tojson)", "url = \(.target.settings.url + $path | tojson)", "noproxy = \"*\"",
        "header = \("Authorization: Bearer " + getpath($token / ".") | tojson)", "max-time = \(.left_ms / 1000)",
        if $body == "" then empty else "json = \({value: getpath($body / ".")} | tojson | tojson)" end' |
        curl --silent --output /dev/null --write-out '%{http_code}' --config -
}

reply() { jq -nc --argjson id "$(get .id)" --argjson more "$1" '{type: "reply", id: $id} + $more'; }
fail() { # did it happen, what next, message
    reply "$(jq -nc --arg effect "$1" --arg retry "$2" --arg message "$3" \
        '{error: {effect: $effect, retry: $retry, code: "slots", message: $message}}')"
}

accepted() { # whose value; yes, no or unknown
    case $(ask GET /v1/whoami "$1.password" '') in 200) echo yes ;; 401) echo no ;; *) echo unknown ;; esac
}

# Puts or deletes somebody's slot, unless it is the live one, and sees what became of the value.
change() { # method, whose, body, whether it is accepted afterwards
    if [ "$(get ".$2.username")" = "$(get .current.username)" ]; then
        fail none never 'this slot is the live one'
        return
    fi
    case $(ask "$1" "$(slot "$2")" target.admin.password "$3") in
        204 | 404) [ "$(accepted "$2")" = "$4" ] && reply '{}' || fail unknown now 'the change is not seen yet' ;;
        422) fail none new_candidate 'the service takes no such value' ;;
        4??) fail none never 'the change was refused' ;;
        *) fail unknown now 'no answer to a change' ;;
    esac
}

while IFS= read -r message; do
    case $(get '.type + " " + (.call // "")') in
        hello*) jq -nc '{type: "rotator", format: 1, descriptor: {kind: "slots", version: "1.0.0", shapes: ["alternating"],
            origin: "engine", settings: [{name: "url", kind: "text", required: true, names_target: true, help: "where it is"},
            {name: "user", kind: "text", required: true, names_target: true, help: "whose slots"}]}}' ;;
        'call preflight') reply '{"findings": []}' ;;
        'call probe')
            answer=$(accepted credential)
            [ "$answer" != unknown ] && reply "{\"answer\": \"$answer\"}" || fail none now 'the service does not answer' ;;
        'call apply') change PUT candidate candidate.password yes ;;
        'call verify') [ "$(accepted candidate)" = yes ] && reply '{}' || fail none now 'the value is not accepted' ;;
        'call restore') change DELETE candidate '' no ;;
        'call revoke') [ "$(accepted current)" = yes ] && change DELETE previous '' no || fail none now 'current is refused' ;;
        call*) fail none never 'this rotator does not know such a call' ;;
    esac
done
