//! A forecast as one SVG: restore points, how far back they reach, and storage, with the time before a change dashed.
//! Self-contained, without scripts; it follows the reader's light or dark theme. Pure.

use std::fmt::Write as _;

use super::super::escape::escape;
use super::whole_days;
use crate::domain::{Bytes, ForecastLine, ForecastReport, ForecastSide, Instant, Period};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 28.0;
const PLOT: f64 = 190.0;
const GAP: f64 = 78.0;
const TOP: f64 = 104.0;
/// How many lines have a colour of their own; further ones share the last.
const COLOURS: usize = 6;
/// How many lines the legend names.
const NAMED: usize = 8;

/// Colours of both themes; each pair is told apart also by people who see fewer of them.
const STYLE: &str = "\
svg{color-scheme:light dark;--ink:#1c2430;--dim:#667085;--rule:#e4e7ec;--page:#ffffff;--bad:#c81e1e;--good:#067647;\
--c0:#2563eb;--c1:#d97706;--c2:#059669;--c3:#c026d3;--c4:#0e7490;--c5:#64748b}\
@media(prefers-color-scheme:dark){svg{--ink:#e6e9ef;--dim:#98a2b3;--rule:#2b3340;--page:#12161d;--bad:#f97066;\
--good:#47cd89;--c0:#6ea8fe;--c1:#fdb022;--c2:#3ddc97;--c3:#e879f9;--c4:#38bdf8;--c5:#98a2b3}}\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:var(--ink)}\
.page{fill:var(--page)}.title{font-size:18px;font-weight:600}.head{font-size:13px;font-weight:600}\
.dim{fill:var(--dim)}.tick{fill:var(--dim);font-size:11px}.rule{stroke:var(--rule);stroke-width:1}\
.bad{fill:var(--bad);font-weight:600}.good{fill:var(--good);font-weight:600}\
.line{fill:none;stroke-width:2;stroke-linejoin:round}.old{stroke-dasharray:5 4;stroke-width:1.5;opacity:.75}\
.area{opacity:.28;stroke:none}.mark{stroke:var(--bad);stroke-width:1.5;stroke-dasharray:2 3}\
.total{stroke:var(--ink)}\
.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}\
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}.f5{fill:var(--c5)}";

/// Draws a forecast.
#[must_use]
pub fn forecast_svg(report: &ForecastReport) -> String {
    let lines = Shown::of(report);
    let legend_rows = lines.len().min(NAMED);
    let top = TOP + legend_rows as f64 * 20.0 + 14.0;
    let height = top + 3.0 * (PLOT + GAP) + 6.0;
    let mut chart = Chart { out: String::new(), report, first: report.begin, last: report.end };
    let label = xml(&format!("Forecast from {} to {}", day(report.begin), day(report.end)));
    let _ = writeln!(
        chart.out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"{label}\"><style>{STYLE}</style>\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height:.0}\" rx=\"10\"/>"
    );
    chart.heading();
    chart.legend(&lines);
    let plots: [(&str, Unit); 2] =
        [("Restore points of one scope", Unit::Count), ("How far back a restore reaches, in days", Unit::Count)];
    for (index, (heading, unit)) in plots.into_iter().enumerate() {
        let y = top + index as f64 * (PLOT + GAP);
        let curves = lines.iter().flat_map(|line| line.curves(index == 1, report)).collect::<Vec<_>>();
        chart.plot(y, heading, unit, &curves, &[]);
    }
    chart.storage(top + 2.0 * (PLOT + GAP));
    chart.out.push_str("</svg>\n");
    chart.out
}

/// What an axis counts.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Count,
    Bytes,
}

/// One line over the days.
struct Curve {
    class: String,
    values: Vec<(Instant, Option<f64>)>,
}

/// A filled band between two heights.
struct Band {
    class: String,
    values: Vec<(Instant, f64, f64)>,
}

/// A line of either side that is drawn in one colour.
struct Shown<'a> {
    name: String,
    colour: usize,
    new: Option<&'a ForecastLine>,
    old: Option<&'a ForecastLine>,
}

impl<'a> Shown<'a> {
    fn of(report: &'a ForecastReport) -> Vec<Self> {
        let mut shown: Vec<Self> = Vec::new();
        let both = report.after.lines.iter().map(|line| (line, true));
        let both = both.chain(report.before.iter().flat_map(|side| &side.lines).map(|line| (line, false)));
        for (line, new) in both.filter(|(line, _)| line.scope != "shared archives") {
            let database = line.database.as_ref().map_or_else(String::new, |name| format!(" of {name}"));
            let name = format!("{}: {}{database}", line.schedule, super::change::scope_words(&line.scope, line.scopes));
            match shown.iter_mut().find(|known| known.name == name) {
                Some(known) if !new => known.old = Some(line),
                Some(_) => {}
                None => {
                    let colour = shown.len().min(COLOURS - 1);
                    let (new, old) = if new { (Some(line), None) } else { (None, Some(line)) };
                    shown.push(Self { name, colour, new, old });
                }
            }
        }
        // Lines that lie on each other are one, with all their names: else only the last would be seen.
        let mut told_apart: Vec<Self> = Vec::new();
        for line in shown {
            match told_apart.iter_mut().find(|known| known.looks_like(&line)) {
                Some(known) => known.name = format!("{}; {}", known.name, line.name),
                None => {
                    let colour = told_apart.len().min(COLOURS - 1);
                    told_apart.push(Self { colour, ..line });
                }
            }
        }
        told_apart
    }

    fn looks_like(&self, other: &Self) -> bool {
        let same = |a: Option<&ForecastLine>, b: Option<&ForecastLine>| match (a, b) {
            (Some(a), Some(b)) => {
                let days = |period: &Option<Period>| period.map(|period| period.as_seconds() / 86_400);
                let points = a.restore_points.iter().zip(&b.restore_points);
                points.into_iter().all(|(x, y)| x * b.scopes == y * a.scopes)
                    && a.depth.iter().map(days).eq(b.depth.iter().map(days))
            }
            (None, None) => true,
            _ => false,
        };
        same(self.new, other.new) && same(self.old, other.old)
    }

    /// The dashed line of the time before, and the solid one above it.
    fn curves(&self, depth: bool, report: &ForecastReport) -> Vec<Curve> {
        let read = |line: &ForecastLine, side: &ForecastSide| {
            let value = |index: usize| {
                if depth {
                    line.depth.get(index).copied().flatten().map(|depth| depth.as_seconds() as f64 / 86_400.0)
                } else {
                    line.restore_points.get(index).map(|points| *points as f64 / line.scopes.max(1) as f64)
                }
            };
            side.days.iter().enumerate().map(|(index, day)| (*day, value(index))).collect::<Vec<_>>()
        };
        let old = self
            .old
            .zip(report.before.as_ref())
            .map(|(line, side)| Curve { class: format!("line old s{}", self.colour), values: read(line, side) });
        let new =
            self.new.map(|line| Curve { class: format!("line s{}", self.colour), values: read(line, &report.after) });
        old.into_iter().chain(new).collect()
    }
}

struct Chart<'a> {
    out: String,
    report: &'a ForecastReport,
    first: Instant,
    last: Instant,
}

impl Chart<'_> {
    fn x(&self, at: Instant) -> f64 {
        let all = (self.last.as_second() - self.first.as_second()).max(1) as f64;
        LEFT + (at.as_second() - self.first.as_second()) as f64 / all * (WIDTH - LEFT - RIGHT)
    }

    fn text(&mut self, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
        let words = xml(words);
        let _ = writeln!(
            self.out,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{words}</text>"
        );
    }

    fn heading(&mut self) {
        let report = self.report;
        let length = whole_days(Period::between(report.begin, report.end));
        let title = match &report.before {
            Some(before) => format!(
                "{} days: {} against {}",
                length.trim_end_matches(" days"),
                report.after.policies,
                before.policies
            ),
            None => format!("{} days of {}", length.trim_end_matches(" days"), report.after.policies),
        };
        self.text(LEFT - 60.0, 38.0, "title", "start", &shortened(&title, 92));
        let broken: Vec<_> = report.objectives.iter().filter(|o| o.violated_at.is_some()).collect();
        let (class, verdict) = match (broken.first(), report.objectives.len()) {
            (None, 0) => ("dim", "nothing has an objective".to_owned()),
            (None, _) => ("good", "every objective holds".to_owned()),
            (Some(first), _) => {
                let more = if broken.len() > 1 { format!(" (and {} more)", broken.len() - 1) } else { String::new() };
                ("bad", super::violation(first) + &more)
            }
        };
        self.text(LEFT - 60.0, 60.0, class, "start", &shortened(&verdict, 120));
        if let Some(change) = report.change.as_ref().filter(|change| change.lost_by_change > 0) {
            let lost = if change.lost_at_once > 0 { change.lost_at_once } else { change.lost_by_change };
            let until =
                change.irreversible_after.map_or_else(String::new, |at| format!("; for good after {}", day(at)));
            let words = format!("{lost} of {} backups there now are lost because of the change{until}", change.there);
            self.text(LEFT - 60.0, 79.0, "bad", "start", &words);
        } else {
            let words = format!("{} to {}", day(report.begin), day(report.end));
            self.text(LEFT - 60.0, 79.0, "dim", "start", &words);
        }
    }

    fn legend(&mut self, lines: &[Shown<'_>]) {
        for (index, line) in lines.iter().take(NAMED).enumerate() {
            let x = LEFT - 60.0;
            let y = TOP + index as f64 * 20.0;
            let _ = writeln!(
                self.out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"14\" height=\"4\" rx=\"2\" class=\"f{}\"/>",
                y - 6.0,
                line.colour
            );
            let more = lines.len() - NAMED.min(lines.len());
            let last = index + 1 == NAMED && more > 0;
            let name = if last { format!("{} and {more} more", line.name) } else { line.name.clone() };
            self.text(x + 22.0, y, "", "start", &shortened(&name, 130));
        }
    }

    /// Draws axes, bands and curves of one plot; returns the height of a value.
    fn plot(&mut self, y: f64, heading: &str, unit: Unit, curves: &[Curve], bands: &[Band]) {
        let dashed = if self.report.before.is_some() { "   (dashed: before the change)" } else { "" };
        self.text(LEFT - 60.0, y, "head", "start", heading);
        let offset = heading.chars().count() as f64 * 7.4 + 8.0;
        self.text(LEFT - 60.0 + offset, y, "tick", "start", dashed.trim_start());
        let (top, bottom) = (y + 14.0, y + 14.0 + PLOT);
        let curve_values = curves.iter().flat_map(|curve| curve.values.iter().filter_map(|(_, value)| *value));
        let highest =
            curve_values.chain(bands.iter().flat_map(|band| band.values.iter().map(|v| v.2))).fold(0.0, f64::max);
        let (step, most) = scale(highest, unit);
        let height = |value: f64| bottom - value / most * PLOT;
        let mut tick = 0.0;
        while tick <= most + step / 2.0 {
            let at = height(tick);
            let _ = writeln!(
                self.out,
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" class=\"rule\"/>",
                WIDTH - RIGHT
            );
            let words = match unit {
                Unit::Count => format!("{tick:.0}"),
                Unit::Bytes => Bytes(tick as u64).to_string(),
            };
            self.text(LEFT - 10.0, at + 4.0, "tick", "end", &words);
            tick += step;
        }
        self.months(bottom);
        for band in bands {
            let mut path = String::new();
            for (index, (at, _, high)) in band.values.iter().enumerate() {
                let _ = write!(path, "{}{:.1} {:.1}", if index == 0 { "M" } else { "L" }, self.x(*at), height(*high));
            }
            for (at, low, _) in band.values.iter().rev() {
                let _ = write!(path, "L{:.1} {:.1}", self.x(*at), height(*low));
            }
            let _ = writeln!(self.out, "<path d=\"{path}Z\" class=\"{}\"/>", band.class);
        }
        for curve in curves {
            let path = self.path(&curve.values, &height);
            let _ = writeln!(self.out, "<path d=\"{path}\" class=\"{}\"/>", curve.class);
        }
        if let Some(at) = self.report.change.as_ref().and_then(|change| change.irreversible_after) {
            let x = self.x(at);
            let (anchor, aside) = if x > WIDTH / 2.0 { ("end", x - 6.0) } else { ("start", x + 6.0) };
            self.text(aside, bottom - 8.0, "tick", anchor, &format!("for good after {}", day(at)));
            let _ = writeln!(
                self.out,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" class=\"mark\"><title>{}</title></line>",
                xml(&format!("cannot be undone after {at}"))
            );
        }
    }

    /// A path through the known values; points on a level stretch are left out.
    fn path(&self, values: &[(Instant, Option<f64>)], height: &dyn Fn(f64) -> f64) -> String {
        let mut path = String::new();
        let mut pen_down = false;
        for (index, (at, value)) in values.iter().enumerate() {
            let Some(value) = value else {
                pen_down = false;
                continue;
            };
            let same = |other: Option<&(Instant, Option<f64>)>| {
                other.is_some_and(|(_, v)| v.is_some_and(|v| (v - value).abs() < 1e-9))
            };
            let level =
                pen_down && same(values.get(index + 1)) && same(index.checked_sub(1).and_then(|i| values.get(i)));
            if !level {
                let _ = write!(path, "{}{:.1} {:.1}", if pen_down { "L" } else { "M" }, self.x(*at), height(*value));
            }
            pen_down = true;
        }
        path
    }

    /// Month names below an axis, as many as there is room for.
    fn months(&mut self, bottom: f64) {
        let days = Period::between(self.first, self.last).as_seconds() / 86_400;
        let every = match days {
            0..=70 => 0,
            71..=420 => 1,
            421..=1300 => 3,
            _ => 12,
        };
        if every == 0 {
            let mut at = self.first;
            while at <= self.last {
                let x = self.x(at);
                self.text(x, bottom + 18.0, "tick", "middle", &at.strftime("%d %b").to_string());
                at = Period::days(7).after(at);
            }
            return;
        }
        let zone = jiff::tz::TimeZone::UTC;
        let mut date = zone.to_datetime(self.first).date().first_of_month();
        while let Ok(at) = date.to_zoned(zone.clone()).map(|zoned| zoned.timestamp()) {
            if at > self.last {
                break;
            }
            if at >= self.first && (date.month() - 1) % every == 0 {
                let x = self.x(at);
                let words = if date.month() == 1 { date.year().to_string() } else { date.strftime("%b").to_string() };
                let _ = writeln!(
                    self.out,
                    "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\" class=\"rule\"/>",
                    bottom + 5.0
                );
                self.text(x, bottom + 18.0, "tick", "middle", &words);
            }
            match date.checked_add(jiff::Span::new().months(1)) {
                Ok(next) => date = next,
                Err(_) => break,
            }
        }
    }

    /// Storage by class, stacked, under the line of what was stored before.
    fn storage(&mut self, y: f64) {
        let side = &self.report.after;
        let known = side.bytes_by_class.values().flatten().any(|bytes| bytes.0 > 0);
        let series = |side: &ForecastSide| -> Vec<(String, Vec<f64>)> {
            if known {
                let bytes = side.bytes_by_class.iter();
                bytes.map(|(class, b)| (class.clone(), b.iter().map(|b| b.0 as f64).collect())).collect()
            } else {
                let counts = side.backups_by_class.iter();
                counts.map(|(class, n)| (class.clone(), n.iter().map(|n| *n as f64).collect())).collect()
            }
        };
        let stacked = series(side);
        let mut below = vec![0.0; side.days.len()];
        let mut bands = Vec::new();
        for (index, (_, values)) in stacked.iter().enumerate() {
            let mut band = Vec::new();
            for (day, at) in side.days.iter().enumerate() {
                let low = below[day];
                below[day] += values.get(day).copied().unwrap_or(0.0);
                band.push((*at, low, below[day]));
            }
            bands.push(Band { class: format!("area f{}", index.min(COLOURS - 1)), values: band });
        }
        let total = |side: &ForecastSide| {
            let all = series(side);
            let sum = |day: usize| all.iter().filter_map(|(_, values)| values.get(day)).sum::<f64>();
            side.days.iter().enumerate().map(|(day, at)| (*at, Some(sum(day)))).collect::<Vec<_>>()
        };
        let mut curves: Vec<Curve> = self
            .report
            .before
            .iter()
            .map(|old| Curve { class: "line old total".to_owned(), values: total(old) })
            .collect();
        curves.push(Curve { class: "line total".to_owned(), values: total(side) });
        let classes: Vec<&str> = stacked.iter().map(|(class, _)| class.as_str()).collect();
        let what = if known { "Storage" } else { "Backups stored" };
        let heading = format!("{what} by storage class: {}", classes.join(", "));
        self.plot(y, &shortened(&heading, 70), if known { Unit::Bytes } else { Unit::Count }, &curves, &bands);
    }
}

/// Returns the distance of an axis's ticks and its end: round numbers, about five of them.
fn scale(highest: f64, unit: Unit) -> (f64, f64) {
    if highest <= 0.0 {
        return (1.0, 1.0);
    }
    let base = if unit == Unit::Bytes {
        let mut size = 1.0;
        while size * 1024.0 <= highest {
            size *= 1024.0;
        }
        size
    } else {
        1.0
    };
    let raw = highest / base / 4.0;
    let power = 10_f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|nice| nice * power >= raw).unwrap_or(10.0) * power;
    let step = if unit == Unit::Count { nice.max(1.0) } else { nice * base };
    (step, (highest / step).ceil() * step)
}

/// Cuts words that would leave the picture.
fn shortened(words: &str, most: usize) -> String {
    if words.chars().count() <= most {
        return words.to_owned();
    }
    words.chars().take(most - 1).chain(['…']).collect()
}

/// Escapes what comes from policies and databases for XML and for eyes.
pub(super) fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in escape(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn day(at: Instant) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
