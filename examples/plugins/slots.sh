#!/bin/sh
# A rotator of values in the slots of the example service, two that take turns, in sh with curl and jq. The messages are described
# in rotators/sdk/src/message/mod.rs. Secrets go by standard input only: arguments are seen by all who list processes.
set -u
descriptor='{"kind": "slots", "version": "1.0.0", "shapes": ["alternating"], "origin": "engine", "settings": [
    {"name": "url", "kind": "text", "required": true, "names_target": true, "help": "where it is"}, {"name": "user", "kind": "text", "required": true, "names_target": true,
    "help": "whose slots"}]}'
get() { printf '%s\n' "$message" | jq -r "$1"; }
slot() { get "\"/v1/users/\(.target.settings.user | @uri)/slots/\(.$1.username | @uri)\""; }

# The status of an answer, 000 where there is none. Nothing is asked when the call's time is over. Token and body: paths in the message.
ask() { # method, path, token, body
    left=$((until - $(date +%s)))
    if [ "$left" -le 0 ]; then echo late && return; fi
    printf '%s\n' "$message" | jq -r --arg method "$1" --arg path "$2" --arg token "$3" --arg body "$4" --arg left "$left" '
        "request = \($method | tojson)", "url = \(.target.settings.url + $path | tojson)", "max-time = \($left)",
        "header = \("Authorization: Bearer " + getpath($token / ".") | tojson)", "noproxy = \"*\"", "path-as-is",
        if $body == "" then empty else "json = \({value: getpath($body / ".")} | tojson | tojson)" end' |
        curl --silent --output /dev/null --write-out '%{http_code}' --config -
}
reply() { jq -nc --argjson id "$(get .id)" --argjson more "$1" '{type: "reply", id: $id} + $more'; }
fail() { # did it happen, what next, a word for programs, a sentence for people
    reply "$(jq -nc --arg effect "$1" --arg retry "$2" --arg code "$3" --arg message "$4" \
        '{error: {effect: $effect, retry: $retry, code: $code, message: $message}}')"
}
accepted() { # whose value; yes, no or unknown
    case $(ask GET /v1/whoami "$1.password" '') in 200) echo yes ;; 401) echo no ;; *) echo unknown ;; esac
}
# Puts or deletes somebody's slot, unless it is the live one, and sees whether its value is accepted afterwards.
change() { # method, whose, body, yes or no
    if [ "$(get ".$2.username")" = "$(get .current.username)" ]; then fail none never live 'this slot is the live one' && return; fi
    case $(ask "$1" "$(slot "$2")" target.admin.password "$3") in
        204 | 404) if [ "$(accepted "$2")" = "$4" ]; then reply '{}'; else fail unknown now unseen 'the change is not seen'; fi ;;
        422) fail none new_candidate unfit 'the service takes no such value' ;;
        late) fail none now late 'no time was left' ;;
        4??) fail none never refused 'the change was refused' ;;
        *) fail unknown now no-answer 'no answer to a change' ;;
    esac
}

while IFS= read -r message; do
    until=$(($(date +%s) + $(get '(.left_ms // 0) / 1000 | floor')))
    case $(get '.type + " " + (.call // "")') in
        hello*) printf '%s' "$descriptor" | jq -c '{type: "rotator", format: 1, descriptor: .}' ;;
        'call preflight') reply '{"findings": []}' ;;
        'call probe') reply "$(accepted credential | jq -Rc 'if . == "unknown" then {error: {effect: "none", retry: "now",
            code: "no-answer", message: "the service does not answer"}} else {answer: .} end')" ;;
        'call apply') # What no header can hold is never put: nobody could use it.
            if [ "$(get '.candidate.password | test("^[!-~]+$")')" = true ]; then change PUT candidate candidate.password yes
            else fail none new_candidate unfit 'a value has visible ASCII characters only'; fi ;;
        'call verify') if [ "$(get '(.checks // []) - ["login"] | length')" = 0 ] && [ "$(accepted candidate)" = yes ]; then
            reply '{}'; else fail none now refused 'the value is refused, or other checks are asked for than a login'; fi ;;
        'call restore') change DELETE candidate '' no ;;
        'call revoke') if [ "$(accepted current)" = yes ]; then change DELETE previous '' no
            else fail none now refused 'the current value is not accepted'; fi ;;
        call*) fail none never unsupported 'this rotator does not know such a call' ;;
    esac
done
