//! What a study has come to: in words, as `result.json`, and as a page with its curve.

use super::recommend::Recommended;
use super::search::Found;
use super::session::Session;
use super::{drawn, points, settings, show};
use onward::study::Repeated;
use onward::words::{counted, four};
use onward::{Error, ErrorKind, Result, file};
use onward_report::{AxisKind, LinePlot, Page, Plot, line_plot, write_page};
use serde_json::{Value, json};
use std::path::Path;

/// Writes the result and its page, and says it.
pub fn write(session: &Session, found: &Found) -> Result<()> {
    let result = result(session, found);
    file::write(&session.folder.result(), text(session, found)?.as_bytes())?;
    let headline = headline(session, found);
    write_report(session, Some(found), session.folder.path())?;
    let mut event = json!({"event": "finished", "run": session.folder.path().display().to_string()});
    if let (Value::Object(event), Value::Object(result)) = (&mut event, result) {
        event.extend(result);
    }
    let facts = [ended(session, found), spent(session), where_to(session)];
    session.voice.say(&format!("{headline}\n{}", facts.join("\n")), &event);
    Ok(())
}

/// The text of `result.json`.
pub fn text(session: &Session, found: &Found) -> Result<String> {
    let text = serde_json::to_string_pretty(&result(session, found));
    text.map(|text| text + "\n").map_err(|e| Error::new(ErrorKind::Io, e.to_string()))
}

fn left_over(session: &Session) -> u64 {
    session.settings.budget - session.tally.told
}

fn result(session: &Session, found: &Found) -> Value {
    let (settings, tally, choice) = (&session.settings, &session.tally, &found.choice);
    let best = session.best.as_ref();
    let best = best.map(|b| json!({"id": b.id, "loss": b.loss, "values": session.named(&b.values)}));
    // Without noise the best candidate seen is the one to take, and its loss is exact.
    let recommended = match &found.recommended {
        None => best.as_ref().map(|b| json!({"values": b["values"], "point": "best seen"})),
        Some(r) => Some(json!({
            "values": session.named(&r.values), "point": point(r),
            "mean": r.repeated.map(|m| m.mean), "half_width": r.repeated.and_then(|m| m.half_width),
            "evaluations": r.evaluations, "failed": r.failed,
        })),
    };
    json!({
        "goal": settings.goal, "best": best, "recommended": recommended,
        "stopped": found.stop, "why_stopped": found.stop.map(|s| s.to_string()),
        "budget": settings.budget, "evaluations": tally.told, "left_over": left_over(session),
        "failed": tally.failed, "noisy": choice.noisy, "method": choice.method, "why": choice.why,
        "seed": settings.seed,
    })
}

fn point(recommended: &Recommended) -> &'static str {
    if recommended.is_centre { "centre of the search" } else { "best seen" }
}

/// A mean with its interval.
fn interval(repeated: &Repeated) -> String {
    onward::words::interval(repeated.mean, repeated.half_width)
}

/// The result: the best candidate; under noise first the one to take, and beside it the best seen.
pub fn headline(session: &Session, found: &Found) -> String {
    let values = |values: &[onward::study::Argument]| {
        let names = session.space.dimensions().iter().map(|d| &d.name);
        show::values(names, &session.named(values))
    };
    let Some(best) = &session.best else { return String::new() };
    let seen = format!("loss {} at evaluation {}: {}", four(best.loss), best.id, values(&best.values));
    let Some(r) = &found.recommended else {
        return format!("best  {seen}{}", beside_known(session, best.loss));
    };
    let loss = match &r.repeated {
        Some(m) if m.half_width.is_some() => {
            format!("loss {}, mean and 95 % interval of {} fresh evaluations", interval(m), m.count)
        }
        Some(m) => format!("loss {}, one fresh evaluation", interval(m)),
        None => "no evaluation was left for its loss".into(),
    };
    let failed = if r.failed > 0 { format!(", {} more failed", r.failed) } else { String::new() };
    format!(
        "recommended  {} ({}; {loss}{failed})\nbest seen    {seen} (once; under noise also the luckiest)",
        values(&r.values),
        point(r)
    )
}

/// That nothing better than a known point was found, if so.
fn beside_known(session: &Session, loss: f64) -> String {
    let known = points::best(&session.before, session.settings.goal);
    let Some(known) = known.filter(|known| !session.better(loss, known.loss)) else { return String::new() };
    let names = session.space.dimensions().iter().map(|d| &d.name);
    let values = show::values(names, &known.values);
    format!("\nno better than the best known point: loss {}: {values}", four(known.loss))
}

fn ended(session: &Session, found: &Found) -> String {
    let why = found.stop.map(|s| s.to_string()).unwrap_or_default();
    match left_over(session) {
        0 => format!("ended: {why}"),
        n => format!("ended: {why}; left over of the budget: {}", counted(n, "evaluation")),
    }
}

fn spent(session: &Session) -> String {
    let tally = &session.tally;
    let failed = match tally.failures() {
        0 => "none failed".into(),
        n => format!("{n} failed ({})", tally.failed.words()),
    };
    format!("{}, {failed}, {} s in the program", counted(tally.told, "evaluation"), four(tally.seconds))
}

fn where_to(session: &Session) -> String {
    let path = session.folder.path();
    format!("{} · {}", session.folder.result().display(), path.join("report.html").display())
}

/// Draws the page of a study, finished or not, into a folder.
pub fn write_report(session: &Session, found: Option<&Found>, into: &Path) -> Result<()> {
    let settings = &session.settings;
    let fact = |label: &str, value: String| (label.to_owned(), value);
    let mut facts = vec![
        fact("Program", settings::shell(&settings.command)),
        fact("Goal", settings::word(settings.goal).into()),
        fact("Space", settings.space.iter().take(40).cloned().collect::<Vec<_>>().join("; ")),
        fact("Seed", settings.seed.to_string()),
        fact("Evaluations", spent(session)),
    ];
    if !settings.require.is_empty() {
        let all: Vec<String> = settings.require.iter().map(ToString::to_string).collect();
        facts.push(fact("Required", all.join("; ")));
    }
    if let Some(found) = found {
        let choice = &found.choice;
        let noise = choice.noisy.map_or("unknown", |noisy| if noisy { "yes" } else { "none known" });
        facts.push(fact("Method", format!("{}: {}", choice.method.name(), choice.why)));
        facts.push(fact("Noise", noise.into()));
        facts.push(fact("End", ended(session, found)));
    }
    let headline = match (found, &session.best) {
        (Some(found), _) => headline(session, found),
        (None, Some(best)) => {
            let (told, budget) = (session.tally.told, settings.budget);
            format!(
                "best so far, after {told} of {}: loss {}",
                counted(budget, "evaluation"),
                four(best.loss)
            )
        }
        (None, None) => "no loss yet".into(),
    };
    let plots: Vec<Plot> = plot(session).into_iter().chain(drawn::plots(session)).collect();
    let text = settings.to_toml()?;
    let page = Page {
        over: "study report",
        name: &session.folder.path().file_name().map_or_else(|| "study".into(), |n| n.to_string_lossy()),
        headline: &headline,
        header: String::new(),
        plots: &plots,
        facts: &facts,
        sections: drawn::sections(session),
        source: ("Study as begun", &text),
    };
    write_page(&page.html(), &plots, into)
}

/// The best loss so far over evaluations, as a staircase.
fn plot(session: &Session) -> Option<Plot> {
    let curve = &session.tally.curve;
    let mut points = Vec::new();
    for (i, (at, loss)) in curve.iter().enumerate() {
        if i > 0 {
            points.push((*at as f64, curve[i - 1].1));
        }
        points.push((*at as f64, *loss));
    }
    points.push((session.tally.told as f64, curve.last()?.1));
    let plot = LinePlot {
        title: "Best loss so far".into(),
        x_label: "evaluations".into(),
        y: AxisKind::fitting(curve.iter().map(|p| p.1)),
        ..LinePlot::default()
    };
    let scene = line_plot(&plot, &[("best".into(), points)]);
    Some(Plot { name: "best".into(), svg: scene.svg(), scene })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_digits_of_its_interval() {
        let of = |mean, half_width| interval(&Repeated { mean, half_width, count: 9 });
        assert_eq!(of(1.234_567, Some(0.0321)), "1.235 ± 0.032");
        assert_eq!(of(-0.024_851_1, Some(0.46)), "-0.02 ± 0.46");
        assert_eq!(of(123_456.7, Some(321.0)), "123457 ± 321");
        assert_eq!((of(0.25, Some(0.0)), of(0.25, None)), ("0.25".into(), "0.25".into()));
    }
}
