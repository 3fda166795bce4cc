//! A scenario as an SVG of horizontal bars, one panel a quantity; its colours follow the reader's light or dark scheme. Pure.

use crate::judge::statistics::{Quantity, spread};
use crate::part::{Contestant, Outcome, Part, Runs, Size};
use crate::show::notation;
use crate::show::panel::{Bar, Panel, WIDTH, escaped};

const TOP: f64 = 34.0;
const BOTTOM: f64 = 24.0;

const STYLE: &str = "\
<style>
text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #1f2328 }
.heading { font-weight: 600 } .small { font-size: 11px; fill: #59636e }
.paper { fill: #ffffff } .grid { stroke: #d1d9e0 } .ours { fill: #0969da } .peer { fill: #9aa4af }
.range { stroke: #1f2328 } .halo { stroke: #ffffff; stroke-width: 4 } .goal { stroke: #bc4c00; stroke-width: 2; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #9198a1 }
.paper { fill: #0d1117 } .grid { stroke: #3d444d } .ours { fill: #4493f8 } .peer { fill: #656c76 }
.range { stroke: #e6edf3 } .halo { stroke: #0d1117 } .goal { stroke: #f0883e }
}
</style>
";

/// The chart of a part.
pub(crate) fn svg(part: &Part) -> String {
    let panels = match &part.outcome {
        Outcome::Runs(runs) => vec![
            panel("Wall time, median with min and max", "seconds", runs, Quantity::Wall),
            panel(
                "CPU time, user and system, median with min and max",
                "seconds",
                runs,
                Quantity::Cpu,
            ),
            panel("Peak memory (RSS), median with min and max", "MiB", runs, Quantity::Rss),
        ],
        Outcome::Sizes(sizes) => vec![Panel {
            heading: "Size on disk",
            unit: "MB, of 1,000,000 bytes",
            bars: sizes.iter().map(size_bar).collect(),
        }],
    };
    let height = TOP + panels.iter().map(Panel::height).sum::<f64>() + BOTTOM;
    let (name, title) = (escaped(&part.scenario), escaped(&part.title));
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>{name}: {title}</title>\n\
         {STYLE}\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
         <text x=\"16\" y=\"24\"><tspan class=\"heading\">{name}</tspan> <tspan class=\"small\">{title}</tspan></text>\n"
    );
    let mut top = TOP;
    for panel in &panels {
        text += &panel.svg(top);
        top += panel.height();
    }
    let date = escaped(&part.date);
    text += &format!(
        "<text class=\"small\" x=\"16\" y=\"{}\">Dashed: the goal is at most this. Measured {date}.</text>\n</svg>\n",
        top + 10.0
    );
    text
}

fn panel(heading: &'static str, unit: &'static str, runs: &Runs, quantity: Quantity) -> Panel {
    let marks = runs.goals.iter().filter_map(|goal| goal.mark(runs, quantity));
    let strictest = marks.min_by(f64::total_cmp);
    let show = if quantity == Quantity::Rss {
        notation::one_decimal
    } else {
        notation::seconds
    };
    let bar = |contestant: &Contestant| {
        let spread = spread(contestant, quantity)?;
        let is_ours = contestant.name == runs.ours.name;
        Some(Bar {
            label: contestant.name.clone(),
            value: spread.median,
            text: show(spread.median),
            range: Some((spread.min, spread.max)),
            goal: strictest.filter(|_| is_ours),
            is_ours,
        })
    };
    let contestants = std::iter::once(&runs.ours).chain(&runs.peers);
    Panel {
        heading,
        unit,
        bars: contestants.filter_map(bar).collect(),
    }
}

fn size_bar(size: &Size) -> Bar {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let value = size.bytes.map(megabytes);
    Bar {
        label: size.name.clone(),
        value: value.unwrap_or_default(),
        text: value.map_or_else(|| "missing".to_owned(), |value| format!("{value:.2}")),
        range: None,
        goal: Some(megabytes(size.budget_bytes)),
        is_ours: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(outcome: Outcome) -> Part {
        Part {
            scenario: "size".into(),
            title: "a < b".into(),
            date: "2026-01-31".into(),
            commit: "0123456789ab".into(),
            machine: "2 cores".into(),
            outcome,
        }
    }

    #[test]
    fn sizes_are_bars_with_their_budget() {
        let size = |name: &str, bytes| Size {
            name: name.into(),
            bytes,
            budget_bytes: 3_000_000,
        };
        let text = svg(&part(Outcome::Sizes(vec![size("a", Some(1_160_344)), size("b", None)])));
        assert_eq!(text.matches("class=\"ours\"").count(), 2);
        assert_eq!(text.matches("class=\"goal\"").count(), 2);
        assert!(
            text.contains(">1.16</text>") && text.contains(">missing</text>"),
            "{text}"
        );
        assert!(text.contains("a &lt; b"), "{text}");
    }

    #[test]
    fn runs_have_a_panel_for_each_quantity() {
        let contestant = |name: &str, seconds| Contestant {
            name: name.into(),
            command: name.into(),
            version: None,
            rounds: vec![crate::run::measure::Sample {
                wall_seconds: seconds,
                user_seconds: seconds,
                system_seconds: 0.0,
                peak_rss_kib: 4096,
                delay_ms: None,
            }],
        };
        let mut absent = contestant("absent", 1.0);
        absent.rounds.clear();
        let text = svg(&part(Outcome::Runs(Runs {
            file_system: "tmpfs".into(),
            ours: contestant("ours", 1.0),
            peers: vec![contestant("cp", 2.0), absent],
            goals: vec![crate::judge::goal::Goal::wall_ratio("cp", 0.6)],
        })));
        assert_eq!(text.matches("class=\"ours\"").count(), 3);
        assert_eq!(text.matches("class=\"peer\"").count(), 3);
        assert_eq!(text.matches("class=\"goal\"").count(), 1);
        assert!(!text.contains("absent"), "{text}");
    }
}
