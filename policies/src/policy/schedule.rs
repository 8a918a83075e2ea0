//! `schedule:` when a rotation is due.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

use crate::catalogue::RotatorSpec;
use crate::cron::{Cron, CronError};
use crate::model::{Freeze, Schedule, Trigger, Window};
use crate::scalar;
use crate::tree::{Node, Span};
use crate::walk::{Keys, Section, Walk};

pub(crate) const SCHEDULE: Keys = Keys {
    name: "schedule",
    keys: &["every", "cron", "manual", "timezone", "window", "jitter", "freezes", "before_expiry"],
};
pub(crate) const WINDOW: Keys = Keys { name: "window", keys: &["days", "from", "to"] };
pub(crate) const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Reads `schedule:`.
pub(crate) fn read(
    walk: &Walk<'_>,
    node: &Node,
    known_freezes: &[Freeze],
    spec: Option<&RotatorSpec>,
) -> Option<Schedule> {
    let section = walk.section(node, &SCHEDULE)?;
    let trigger = trigger(&section);
    let zone = section.get("timezone").map(|node| timezone(walk, node));
    let window_node = section.get("window");
    let window = window_node.map(|node| window(walk, node));
    let jitter = section.get("jitter").map_or(Some(Duration::ZERO), |node| walk.duration(node));
    let freezes = section.get("freezes").map_or(Some(Vec::new()), |node| freezes(walk, node, known_freezes));
    let before_expiry = section.get("before_expiry").map(|node| before_expiry(walk, node, spec));
    let clock = ["window", "cron"].into_iter().find(|key| section.entry(key).is_some());
    if let (Some(clock), None) = (clock, section.entry("timezone")) {
        walk.tell(
            walk.problem("missing-timezone", section.span, format!("`{clock}` is clock time, and needs a `timezone`"))
                .help("such as `timezone: Europe/Berlin`, or `timezone: UTC`"),
        );
    }
    if let (Some(Trigger::Every(every)), Some(jitter), Some(node)) = (&trigger, jitter, section.get("jitter"))
        && jitter >= *every
    {
        walk.tell(
            walk.problem("long-jitter", node.span, "`jitter` is as long as the interval itself")
                .help("keep it shorter than `every`"),
        );
    }
    if matches!(trigger, Some(Trigger::Manual)) {
        for entry in
            ["window", "jitter", "freezes", "timezone", "before_expiry"].iter().filter_map(|key| section.entry(key))
        {
            walk.tell(
                walk.problem("no-effect", entry.span, format!("`{}` has no effect on a manual schedule", entry.key))
                    .help("remove it"),
            );
        }
    }
    let cron_span = section.entry("cron").map(|entry| entry.value.span);
    section.done();
    let (trigger, window, freezes) = (trigger?, window.map_or(Some(None), |window| window.map(Some))?, freezes?);
    if let (Trigger::Cron(cron), Some(window), Some(span)) = (&trigger, &window, cron_span)
        && !ever_inside(cron, window)
    {
        walk.tell(
            walk.problem("outside-window", span, "none of these times is within the window")
                .help("change one of them; a window is not needed where `cron` already names the times"),
        );
    }
    if let Some(node) = window_node {
        refuse_eternal_freeze(walk, node.span, &freezes);
    }
    let timezone = zone.map_or(Some(TimeZone::UTC), |zone| zone)?;
    let before_expiry = before_expiry.map_or(Some(None), |duration| duration.map(Some))?;
    Some(Schedule { trigger, timezone, window, before_expiry, jitter: jitter?, freezes })
}

/// Only where something says when a credential ends.
fn before_expiry(walk: &Walk<'_>, node: &Node, spec: Option<&RotatorSpec>) -> Option<Duration> {
    if let Some(spec) = spec.filter(|spec| !spec.fields.iter().any(|field| field == "expires_at")) {
        let message = format!("the rotator `{}` does not say when a credential ends by itself", spec.kind);
        walk.tell(walk.problem("unsupported", node.span, message).help("remove it; `every` alone makes rotations due"));
    }
    walk.duration(node)
}

fn trigger(section: &Section<'_>) -> Option<Trigger> {
    const HELP: &str = "one of `every: 30d`, `cron: \"0 3 * * mon\"` or `manual: true`";
    let walk = section.walk;
    let (every, cron, manual) = (section.get("every"), section.get("cron"), section.get("manual"));
    let written = ["every", "cron", "manual"].iter().filter(|key| section.entry(key).is_some()).count();
    match (every, cron, manual) {
        (Some(node), None, None) => {
            let every = walk.duration(node)?;
            if every.is_zero() {
                walk.tell(
                    walk.problem("zero-interval", node.span, "an interval may not be zero")
                        .help("such as `every: 30d`"),
                );
                return None;
            }
            Some(Trigger::Every(every))
        }
        (None, Some(node), None) => self::cron(walk, node).map(Trigger::Cron),
        (None, None, Some(node)) => {
            if !walk.boolean(node)? {
                walk.tell(walk.problem("one-of", node.span, "`manual: false` says nothing").help(HELP));
                return None;
            }
            Some(Trigger::Manual)
        }
        _ => {
            if written != 1 {
                let message =
                    if written == 0 { "nothing makes a rotation due" } else { "several things make a rotation due" };
                walk.tell(walk.problem("one-of", section.span, message).help(HELP));
            }
            None
        }
    }
}

/// Clock times in five fields.
pub(crate) fn cron(walk: &Walk<'_>, node: &Node) -> Option<Cron> {
    let text = walk.text(node)?;
    match Cron::parse(&text) {
        Ok(cron) => Some(cron),
        Err(CronError { message, help, span: (from, length), .. }) => {
            let mut span = node.span;
            // Where the source holds the expression as it is, in or without quotes, the part itself can be marked.
            let raw = walk.source.text.get(span.from..span.to).unwrap_or_default();
            if let Some(begin) = raw.find(&text).filter(|_| !raw.contains('\n')) {
                span.column += u32::try_from(raw[..begin].chars().count() + from).unwrap_or(0);
                span.length = u32::try_from(length).unwrap_or(1);
            }
            let problem = walk.problem("bad-cron", span, message);
            walk.tell(match help {
                Some(help) => problem.help(help),
                None => problem,
            });
            None
        }
    }
}

/// A zone of the time zone database, by its name.
pub(crate) fn timezone(walk: &Walk<'_>, node: &Node) -> Option<TimeZone> {
    let name = walk.text(node)?;
    if let Ok(zone) = TimeZone::get(&name) {
        return Some(zone);
    }
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    let problem = walk.problem("unknown-timezone", node.span, "there is no time zone of this name");
    walk.tell(match scalar::closest(&name, names.iter().map(String::as_str)).or_else(|| by_city(&name, &names)) {
        Some(zone) => problem.help(format!("did you mean `{zone}`?")),
        None => problem.help("names are such as `Europe/Berlin`, `America/New_York` or `UTC`"),
    });
    None
}

/// `Berlin` is asked for more often than `Europe/Berlin` is misspelled.
fn by_city<'n>(name: &str, names: &'n [String]) -> Option<&'n str> {
    let city = name.rsplit('/').next()?;
    names
        .iter()
        .map(String::as_str)
        .find(|zone| zone.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(city)))
}

fn window(walk: &Walk<'_>, node: &Node) -> Option<Window> {
    let section = walk.section(node, &WINDOW)?;
    let days = section.get("days").map_or(Some(DAYS.map(|(_, day)| day).to_vec()), |node| days(walk, node));
    let from = section.need("from", "such as `from: \"02:00\"`").and_then(|node| clock_time(walk, node, false));
    let to = section.need("to", "such as `to: \"05:00\"`").and_then(|node| clock_time(walk, node, true));
    let span = section.span;
    section.done();
    let (days, (from, _), (to, day_end)) = (days?, from?, to?);
    if from == to && !day_end {
        walk.tell(
            walk.problem("empty-window", span, "the window closes when it opens")
                .help("for the whole day write `from: \"00:00\", to: \"24:00\"`"),
        );
        return None;
    }
    Some(Window { days, from, to })
}

fn days(walk: &Walk<'_>, node: &Node) -> Option<Vec<Weekday>> {
    let items = walk.list(node)?;
    let mut days: Vec<Weekday> = items.iter().map(|item| walk.choice(item, &DAYS)).collect::<Option<_>>()?;
    if days.is_empty() {
        walk.tell(
            walk.problem("empty-window", node.span, "the window opens on no day")
                .help("name days, or remove `days` for all of them"),
        );
        return None;
    }
    days.sort_by_key(|day| day.to_monday_zero_offset());
    days.dedup();
    Some(days)
}

fn clock_time(walk: &Walk<'_>, node: &Node, end: bool) -> Option<(jiff::civil::Time, bool)> {
    let text = walk.text(node)?;
    let time = scalar::clock_time(&text).filter(|(_, day_end)| end || !day_end);
    if time.is_none() {
        walk.tell(
            walk.problem("bad-clock-time", node.span, "this is no time of day")
                .help("hours and minutes with two digits each, such as `\"02:00\"`"),
        );
    }
    time
}

fn freezes(walk: &Walk<'_>, node: &Node, known: &[Freeze]) -> Option<Vec<Freeze>> {
    let mut freezes: Vec<Freeze> = Vec::new();
    for item in walk.list(node)? {
        let name = walk.text(item)?;
        match known.iter().find(|freeze| freeze.name == name) {
            Some(freeze) if freezes.iter().any(|other| other.name == freeze.name) => {
                walk.tell(walk.problem("repeated", item.span, "this freeze is given twice").help("remove one"));
            }
            Some(freeze) => freezes.push(freeze.clone()),
            None => {
                let names = || known.iter().map(|freeze| freeze.name.as_str());
                let problem = walk.problem("unknown-freeze", item.span, "there is no freeze of this name");
                walk.tell(match scalar::closest(&name, names()) {
                    Some(word) => problem.help(format!("did you mean `{word}`?")),
                    None if known.is_empty() => problem.help("freezes are declared in keywheel.yaml, under `freezes`"),
                    None => problem.help(format!("declared in keywheel.yaml: {}", scalar::list_words(names()))),
                });
            }
        }
    }
    Some(freezes)
}

fn ever_inside(cron: &Cron, window: &Window) -> bool {
    // Any week has every combination of day and time; 2026-01-05 is a Monday.
    let monday = Date::constant(2026, 1, 5);
    let week = std::iter::successors(Some(monday), |day| day.tomorrow().ok()).take(7);
    week.filter(|day| cron.may_fire_on(day.weekday()))
        .any(|day| cron.times_of_day().any(|time| window.contains(day.to_datetime(time))))
}

/// Freezes that follow each other for this long are a mistake in a date.
const LONGEST_FREEZE_DAYS: i32 = 366;

fn refuse_eternal_freeze(walk: &Walk<'_>, span: Span, freezes: &[Freeze]) {
    let mut spans: Vec<(DateTime, DateTime)> = freezes.iter().map(|freeze| (freeze.from, freeze.to)).collect();
    spans.sort();
    let mut run: Option<(DateTime, DateTime)> = None;
    for (from, to) in spans {
        run = match run {
            Some((begin, end)) if from <= end => Some((begin, end.max(to))),
            Some(_) | None => Some((from, to)),
        };
        let days = run.and_then(|(begin, end)| begin.date().until(end.date()).ok()).map_or(0, |span| span.get_days());
        if days > LONGEST_FREEZE_DAYS {
            walk.tell(
                walk.problem("never-open", span, "freezes keep this window shut for more than a year")
                    .help("look at the dates of its freezes in keywheel.yaml"),
            );
            return;
        }
    }
}
