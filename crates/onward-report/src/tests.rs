use super::*;

fn points(count: u64) -> Vec<Point> {
    let point = |i: u64| {
        let t = i as f32 / count.max(1) as f32;
        // Noise from a small multiplicative generator, different on every step and the same on every run.
        let noise = |k: u64| ((i * 2_654_435_761 + k * 40_503) % 1009) as f32 / 1009.0 - 0.5;
        let tested = i.is_multiple_of((count / 100).max(1)) || i + 1 == count;
        Point {
            test_loss_half_width: None,
            validation_loss_half_width: None,
            step: i + 1,
            passes: (i + 1) * 64,
            samples: (i + 1) * 4096,
            elapsed: i as f64 * 0.037,
            train_loss: Some(f64::from(2.3 * (-4.5 * t).exp() * (1.0 + 0.5 * noise(1)) + 0.02)),
            test_loss: tested.then_some(f64::from(2.3 * (-4.0 * t).exp() + 0.06)),
            test_accuracy: tested.then_some(0.97 - 0.87 * (-6.0 * t).exp()),
            train_accuracy: tested.then_some(0.99 - 0.89 * (-6.5 * t).exp()),
            validation_loss: None,
            validation_accuracy: None,
            signal_to_noise: Some(0.9 * (-2.0 * t).exp() + 0.25 * noise(2) + 0.2),
            rate: Some(0.01 * (1.0 - 0.9 * t)),
            moved: None,
            step_cosine: None,
            non_finite: 0,
        }
    };
    (0..count).map(point).collect()
}

fn confusion(classes: usize) -> Vec<Vec<u64>> {
    let count = |i: usize, j: usize| {
        if i == j { 170 + (i * 7 % 13) as u64 } else { ((i * 31 + j * 17) % 11 / 8) as u64 }
    };
    (0..classes).map(|i| (0..classes).map(|j| count(i, j)).collect()).collect()
}

fn report<'a>(points: &'a [Point], confusion: Option<&'a [Vec<u64>]>) -> Report<'a> {
    let facts = [
        ("Steps", "10 000"),
        ("Forward passes", "640 000"),
        ("Samples seen", "40 960 000"),
        ("Floating-point operations", "8.4 × 10¹²"),
        ("Wall-clock", "6 min 10 s"),
        ("Peak memory", "38 MB"),
        ("Seed", "7"),
        ("Method", "activation, orthogonal probes, momentum 0.9"),
        ("Data digest", "5f2a9c0de1b7348855aa90cc17be23d45f2a9c0de1b7348855aa90cc17be23d4"),
        ("Params digest", "0b77e1aa93c4d2f60b77e1aa93c4d2f60b77e1aa93c4d2f60b77e1aa93c4d2f6"),
    ];
    Report {
        notices: vec![],
        own: &[],
        name: "digits-mlp",
        points,
        confusion,
        net: None,
        values: vec![(1.0, 1.1), (2.0, 1.8)],
        generated: vec![],
        texts: vec![],
        remarks: vec![Remark {
            says: "It converged.".into(),
            evidence: "So it is.".into(),
            next: Some("onward x".into()),
        }],
        results: vec![],
        provenance: vec![("Version".into(), "0.1.0".into())],
        class_names: vec![],
        baseline: Some(Baseline { name: "Logistic regression".into(), accuracy: 0.9528 }),
        facts: facts.map(|(label, value)| (label.into(), value.into())).to_vec(),
        headline:
            "96.8% of the test digits are right after 640 000 forward passes, 1.5 points above the baseline."
                .into(),
        spec_text: "# digits\n[model]\nlayers = [64, 32, 10]\n\n[method]\nname = \"activation\"\n",
    }
}

/// Everything that a report could show, once as a page and once as files.
fn all_text(report: &Report<'_>) -> String {
    html(report) + &plots(report).iter().map(|p| p.svg.as_str()).collect::<String>()
}

fn assert_well_formed(svg: &str) {
    roxmltree::Document::parse(svg).unwrap();
}

#[test]
fn every_number_of_points_makes_a_whole_report() {
    for count in [0, 1, 2, 10_000] {
        let points = points(count);
        let counts = confusion(10);
        let report = report(&points, Some(&counts));
        let plots = plots(&report);
        let expected = match count {
            0 => vec!["predicted", "residuals", "confusion"],
            1 => vec!["loss", "accuracy", "predicted", "residuals", "signal-to-noise", "confusion"],
            _ => vec!["loss", "accuracy", "predicted", "residuals", "signal-to-noise", "rate", "confusion"],
        };
        assert_eq!(plots.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), expected);
        for plot in &plots {
            assert_well_formed(&plot.svg);
            assert_well_formed(&plot.scene.inline_svg());
        }
        let text = all_text(&report);
        assert!(!text.contains("NaN") && !text.contains("inf,") && !text.contains(",inf"), "{count} points");
        assert!(text.len() < 400_000, "{} bytes for {count} points", text.len());
    }
}

#[test]
fn values_that_are_not_finite_are_skipped_and_counted() {
    let mut points = points(20);
    for (i, bad) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().enumerate() {
        let p = &mut points[i + 17];
        p.test_accuracy = Some(bad);
        (p.train_loss, p.test_loss, p.train_accuracy) = (Some(bad.into()), Some(bad.into()), Some(bad));
        (p.signal_to_noise, p.rate, p.elapsed, p.non_finite) = (Some(bad), Some(bad), f64::from(bad), 3);
    }
    let report = report(&points, None);
    let text = all_text(&report);
    assert!(!text.contains("NaN") && !text.contains(">inf") && !text.contains("inf%"));
    assert!(text.contains("3 losses were not finite"));
    let hopeless = [Point { train_loss: Some(f64::NAN), ..Point::default() }];
    assert!(plots(&Report { points: &hopeless, values: vec![], ..report }).is_empty());
}

#[test]
fn every_text_is_escaped() {
    const NASTY: &str = "</code><script>alert('&\"')</script>\u{0}";
    let points = points(3);
    let counts = confusion(2);
    let nasty = Report {
        name: NASTY,
        class_names: vec![NASTY.into(), NASTY.into()],
        baseline: Some(Baseline { name: NASTY.into(), accuracy: 0.5 }),
        facts: vec![(NASTY.into(), NASTY.into())],
        headline: NASTY.into(),
        spec_text: NASTY,
        ..report(&points, Some(&counts))
    };
    let text = all_text(&nasty);
    assert!(!text.contains("<script") && !text.contains('\u{0}'));
    assert!(text.contains("&lt;script&gt;"));
    plots(&nasty).iter().for_each(|p| assert_well_formed(&p.svg));
}

#[test]
fn the_page_is_well_formed_and_reaches_for_nothing_outside() {
    let points = points(300);
    let counts = confusion(30);
    let report = report(&points, Some(&counts));
    let page = html(&report);
    assert!(
        !page.contains("http:")
            && !page.contains("https:")
            && !page.contains("src=")
            && !page.contains("url(")
    );
    assert!(!page.contains("@import") && !page.contains("<link") && !page.contains("<script"));
    for plot in plots(&report) {
        let outside = plot.svg.replacen("http://www.w3.org/2000/svg", "", 1);
        assert!(!outside.contains("http") && !outside.contains("var("));
    }
    // Apart from the doctype and the void elements the page is XML, so that any unbalanced tag shows.
    let head_end = page.find("<body>").unwrap();
    let body_end = page.find("</html>").unwrap();
    assert_well_formed(&page[head_end..body_end]);
}

#[test]
fn the_result_stands_next_to_its_baseline() {
    let points = [Point { test_accuracy: Some(0.9), ..Point::default() }];
    let page = html(&report(&points, None));
    assert!(page.contains("<dd>90.00 %</dd>") && page.contains("<dd>95.28 %</dd>"));
    let without = html(&Report { baseline: None, ..report(&points, None) });
    assert!(!without.contains("95.28"));
    let told = html(&Report { results: vec![("RMSE".into(), "0.3".into())], ..report(&points, None) });
    assert!(told.contains("<dt>RMSE</dt><dd>0.3</dd>") && !told.contains("<dt>Test accuracy"));
    assert!(told.contains("<strong>It converged.</strong> So it is. Next: <code>onward x</code>"));
}

#[test]
fn files_are_written_whole_over_older_ones() {
    let folder = tempfile::tempdir().unwrap();
    let points = points(50);
    let counts = confusion(10);
    let report = report(&points, Some(&counts));
    write(&report, folder.path()).unwrap();
    write(&report, folder.path()).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("report.html")).unwrap(), html(&report));
    let mut names: Vec<_> = std::fs::read_dir(folder.path().join("plots"))
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = ["accuracy", "confusion", "loss", "predicted", "rate", "residuals", "signal-to-noise"];
    let expected: Vec<_> = expected.iter().flat_map(|n| [format!("{n}.png"), format!("{n}.svg")]).collect();
    assert_eq!(names, expected);
    let png = std::fs::read(folder.path().join("plots/loss.png")).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(u32::from_be_bytes([png[16], png[17], png[18], png[19]]), 1296);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    std::fs::write(&file, "not a folder").unwrap();
    let error = write(&report(&[], None), &file).unwrap_err();
    assert!(error.kind() == onward::ErrorKind::Io && error.to_string().contains("taken"), "{error}");
}

#[test]
fn own_measurements_have_a_curve_for_each_name_up_to_a_limit() {
    let m = |i: u64| Measurement {
        step: i / 40,
        name: format!("{} {}", "a long name ".repeat(i as usize % 40 % 9), i % 40),
        value: if i % 40 == 3 { f64::NAN } else { i as f64 },
        unit: "GB/s".into(),
    };
    let own: Vec<Measurement> = (0..400).map(m).collect();
    let points = points(3);
    let report = Report { own: &own, ..report(&points, None) };
    let drawn: Vec<Plot> = plots(&report).into_iter().filter(|p| p.name.starts_with("own-")).collect();
    // One of the first names has no number that is finite.
    assert_eq!(drawn.len(), 23);
    drawn.iter().for_each(|plot| assert_well_formed(&plot.svg));
    assert!(drawn[0].svg.contains("GB/s") && all_text(&report).contains("16 more measurements"));
}
