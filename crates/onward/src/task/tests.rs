use super::*;
use crate::dataset::QUERY;

fn classes(labels: &[u32], classes: usize) -> Targets {
    Targets::Classes { labels: labels.to_vec(), classes }
}

fn values(values: &[f32], width: usize) -> Targets {
    Targets::Values { values: values.to_vec(), width }
}

fn rows(width: usize, data: &[f32]) -> Act {
    Act::new(data.len() / width, [1, 1, width], data.to_vec())
}

/// A loss again by its definition, in f64.
fn by_definition(loss: Loss, x: &[f64], target: &[f64]) -> f64 {
    let sum = |of: &dyn Fn(f64, f64) -> f64| x.iter().zip(target).map(|(x, t)| of(*x, *t)).sum::<f64>();
    let right = target.iter().position(|t| *t == 1.0).unwrap_or(0);
    match loss {
        Loss::CrossEntropy => x.iter().map(|v| (v - x[right]).exp()).sum::<f64>().ln(),
        Loss::ZeroOne => f64::from(u8::from(x.iter().any(|v| *v > x[right]))),
        Loss::SquaredError => sum(&|x, t| (x - t).powi(2) / 2.0),
        Loss::AbsoluteError => sum(&|x, t| (x - t).abs()),
        Loss::Huber { delta } => sum(&|x, t| {
            let (d, delta) = ((x - t).abs(), f64::from(delta));
            if d <= delta { d * d / 2.0 } else { delta * (d - delta / 2.0) }
        }),
        Loss::SigmoidCrossEntropy => {
            sum(&|x, t| t * (1.0 + (-x).exp()).ln() + (1.0 - t) * (1.0 + x.exp()).ln())
        }
    }
}

const LOSSES: [Loss; 6] = [
    Loss::CrossEntropy,
    Loss::ZeroOne,
    Loss::SquaredError,
    Loss::AbsoluteError,
    Loss::Huber { delta: 0.7 },
    Loss::SigmoidCrossEntropy,
];

#[test]
fn losses_agree_with_their_definitions() {
    let count = 19;
    let data: Vec<f32> = (0..count * 3).map(|i| ((i * 37) % 23) as f32 / 5.0 - 2.0).collect();
    let outputs = rows(3, &data);
    let of_class = classes(&[0, 1, 2, 0, 1], 3);
    let soft: Vec<f32> = (0..15).map(|i| (i * 7 % 11) as f32 / 10.0).collect();
    let of_value = values(&soft, 3);
    let columns = Columns::default();
    for loss in LOSSES {
        for targets in [&of_class, &of_value] {
            let answers = Answers { first: 1, count: 4, ..Answers::all(targets, &columns) };
            if loss.check(3, Answers::all(targets, &columns)).is_err() {
                continue;
            }
            let mut losses = vec![0.0; count];
            loss.losses(&outputs, answers, &mut losses).unwrap();
            for (r, found) in losses.iter().enumerate() {
                let x: Vec<f64> = outputs.row(r).iter().map(|v| f64::from(*v)).collect();
                let sample = 1 + r % 4;
                let target: Vec<f64> = match targets {
                    Targets::Classes { labels, .. } => {
                        (0..3).map(|j| f64::from(u8::from(labels[sample] == j))).collect()
                    }
                    Targets::Values { values, .. } => {
                        values[sample * 3..][..3].iter().map(|v| f64::from(*v)).collect()
                    }
                };
                let want = by_definition(loss, &x, &target);
                assert!((f64::from(*found) - want).abs() < 1e-5, "{loss:?} row {r}: {found} {want}");
            }
        }
    }
}

#[test]
fn a_loss_refuses_targets_of_another_kind() {
    let columns = Columns::default();
    let refuse = |loss: Loss, targets: Targets, words: &str| {
        let error = loss.check(2, Answers::all(&targets, &columns)).unwrap_err().to_string();
        assert!(error.contains(words), "{loss:?}: {error}");
    };
    refuse(Loss::CrossEntropy, values(&[0.5, 1.0], 2), "classes, of which one is right");
    refuse(Loss::ZeroOne, values(&[0.5, 1.0], 2), "classes, of which one is right");
    refuse(Loss::SigmoidCrossEntropy, classes(&[1, 0], 2), "a number from 0 to 1 for each output");
    refuse(Loss::SigmoidCrossEntropy, values(&[0.0, 1.0, 0.0, 1.5], 2), "target of row 1");
    refuse(Loss::AbsoluteError, values(&[0.0, 1.0, 2.0], 3), "2 values a row");
    refuse(Loss::Huber { delta: 1.0 }, classes(&[0, 2], 3), "label of row 1");
}

#[test]
fn nan_is_never_a_good_answer() {
    let outputs = rows(2, &[f32::NAN, 1.0]);
    let columns = Columns::default();
    let (of_class, of_value) = (classes(&[1], 2), values(&[0.0, 1.0], 2));
    for loss in LOSSES {
        for targets in [&of_class, &of_value] {
            let answers = Answers::all(targets, &columns);
            if loss.check(2, answers).is_err() {
                continue;
            }
            let mut found = [0.0];
            loss.losses(&outputs, answers, &mut found).unwrap();
            assert!(if loss == Loss::ZeroOne { found[0] == 1.0 } else { found[0].is_nan() }, "{loss:?}");
        }
    }
    // A metric of the batch is no number then, or counts the row as wrong.
    let both = classes(&[1, 0], 2);
    let outputs = rows(2, &[f32::NAN, 1.0, 1.0, 0.0]);
    assert!(Auc.of(&outputs, Answers::all(&both, &columns)).is_nan());
    assert_eq!(F1 { average: Average::Binary }.of(&outputs, Answers::all(&both, &columns)), 0.0);
}

#[test]
fn sample_weights_multiply_the_losses_of_rows_and_items() {
    let targets = values(&[1.0, 2.0, 3.0], 1);
    let columns = Columns::default().with(WEIGHT, vec![0.5, 0.0, 2.0]);
    let task: &dyn Task = &Loss::AbsoluteError;
    let outputs = rows(1, &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let mut losses = [0.0; 6];
    task.of_rows(&outputs, Answers::all(&targets, &columns), &mut losses).unwrap();
    assert_eq!(losses, [0.5, 0.0, 6.0, 0.0, 0.0, 4.0]);

    /// The distance of each item to the row's number.
    struct Items;
    impl Task for Items {
        fn grain(&self) -> Grain {
            Grain::Item
        }
        fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
            let Targets::Values { values, .. } = answers.targets else { return Ok(()) };
            for (row, losses) in losses.chunks_exact_mut(outputs.points()).enumerate() {
                let target = values[answers.sample(row)];
                losses.iter_mut().zip(outputs.row(row)).for_each(|(loss, x)| *loss = (x - target).abs());
            }
            Ok(())
        }
    }
    let outputs = Act::new(3, [2, 1, 1], vec![1.0, 3.0, 2.0, 2.0, 0.0, 1.0]);
    let task: &dyn Task = &Items;
    let mut losses = [0.0; 3];
    task.of_rows(&outputs, Answers::all(&targets, &columns), &mut losses).unwrap();
    assert_eq!(losses, [0.5 * 1.0, 0.0, 2.0 * 2.5]);
    assert_eq!(task.of_batch(&outputs, Answers::all(&targets, &columns)).unwrap(), 5.5 / 3.0);
}

#[test]
fn columns_that_do_not_fit_are_refused_by_name_and_row() {
    let said = |columns: Columns| columns.check(3).unwrap_err().to_string();
    assert_eq!(
        said(Columns::default().with("age", vec![1.0, f64::NAN, 2.0])),
        "column age: expected a finite number, found NaN in row 1"
    );
    assert!(
        said(Columns::default().with("age", vec![1.0])).contains("one number for each of 3 rows, found 1")
    );
    assert!(
        said(Columns::default().with(WEIGHT, vec![1.0, 1.0, -2.0])).contains("at least 0, found -2 in row 2")
    );
    let none = Columns::default().with(WEIGHT, vec![0.0; 3]);
    assert!(none.check(3).is_ok());
    assert!(none.check_counted().unwrap_err().to_string().contains("a row that counts"));
    assert!(Columns::default().with("age", vec![-1.0; 3]).check(3).is_ok());
}

/// Scores with many ties, and labels.
fn scored(rows: usize) -> (Vec<f32>, Vec<u32>) {
    let scores = (0..rows).map(|i| ((i * 31 + 7) % 13) as f32 - 6.0).collect();
    (scores, (0..rows).map(|i| u32::from(i * i % 7 < 3)).collect())
}

#[test]
fn an_auc_is_the_share_of_pairs_in_order_with_ties_at_half() {
    let (scores, labels) = scored(60);
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, la) in scores.iter().zip(&labels) {
        for (b, _) in scores.iter().zip(&labels).filter(|(_, lb)| *la == 1 && **lb == 0) {
            pairs += 1.0;
            right += if a > b { 1.0 } else { 0.5 * f64::from(u8::from(a == b)) };
        }
    }
    let (targets, columns) = (classes(&labels, 2), Columns::default());
    let answers = Answers::all(&targets, &columns);
    let want = (right / pairs) as f32;
    assert_eq!(Auc.of(&rows(1, &scores), answers), want);
    let two: Vec<f32> = scores.iter().flat_map(|s| [1.0, s + 1.0]).collect();
    assert_eq!(Auc.of(&rows(2, &two), answers), want);
    // Equal scores say nothing, whatever the sign of a zero.
    let zeros: Vec<f32> = (0..60).map(|i| if i % 2 == 0 { 0.0 } else { -0.0 }).collect();
    assert_eq!(Auc.of(&rows(1, &zeros), answers), 0.5);
}

#[test]
fn an_auc_of_one_class_is_one_half_in_a_batch_and_refused_as_data() {
    let columns = Columns::default();
    for (label, words) in [(0, "class 0 alone in 3 rows"), (1, "class 1 alone in 3 rows")] {
        let targets = classes(&[label; 3], 2);
        let answers = Answers::all(&targets, &columns);
        assert_eq!(Auc.of(&rows(1, &[1.0, 2.0, 3.0]), answers), 0.5);
        assert!(Auc.check(1, answers).is_ok());
        assert!(Auc.check_all(answers).unwrap_err().to_string().contains(words));
    }
    let three = classes(&[0, 1, 2], 3);
    assert!(Auc.check(2, Answers::all(&three, &columns)).unwrap_err().to_string().contains("label of row 2"));
}

#[test]
fn an_f1_is_that_of_its_counts_and_leaves_out_classes_that_are_not_there() {
    let columns = Columns::default();
    // Claimed: 0 0 1 1 0; class 2 is neither present nor claimed.
    let outputs = rows(3, &[3., 1., 0., 3., 1., 0., 1., 3., 0., 1., 3., 0., 3., 1., 0.]);
    let targets = classes(&[0, 1, 1, 0, 0], 3);
    let answers = Answers::all(&targets, &columns);
    let (zero, one) = (2.0 * 2.0 / (3.0 + 3.0), 2.0 * 1.0 / (2.0 + 2.0));
    assert_eq!(F1 { average: Average::Macro }.of(&outputs, answers), ((zero + one) / 2.0) as f32);
    let two = rows(2, &[3., 1., 3., 1., 1., 3., 1., 3., 3., 1.]);
    let targets = classes(&[0, 1, 1, 0, 0], 2);
    let binary = F1 { average: Average::Binary };
    assert_eq!(binary.of(&two, Answers::all(&targets, &columns)), one as f32);
    // Nothing to find and nothing claimed: nothing was missed.
    let none = classes(&[0, 0], 2);
    let answers = Answers::all(&none, &columns);
    assert_eq!(binary.of(&rows(2, &[1., 0., 1., 0.]), answers), 1.0);
    assert_eq!(binary.of(&rows(2, &[1., 0., 0., 1.]), answers), 0.0);
    assert!(binary.check_all(answers).is_err() && F1::default().check_all(answers).is_ok());
    // Labels that hold or not.
    let labels = values(&[1., 0., 1., 1., 0., 0.], 2);
    let outputs = rows(2, &[0.5, 0.5, 0.5, 0.5, -1.0, -1.0]);
    let want = (1.0 + 2.0 / 3.0) / 2.0;
    let found = F1::default().of(&outputs, Answers::all(&labels, &columns));
    assert!((f64::from(found) - want).abs() < 1e-6, "{found}");
}

#[test]
fn metrics_of_batches_refuse_what_they_cannot_answer() {
    let plain = Columns::default();
    let said = |task: &dyn Task, outputs, targets: &Targets, columns: &Columns| {
        task.check(outputs, Answers::all(targets, columns)).unwrap_err().to_string()
    };
    let binary = F1 { average: Average::Binary };
    assert!(said(&binary, 3, &classes(&[0, 1], 3), &plain).contains("two classes"));
    assert!(said(&F1::default(), 2, &values(&[0.0, 0.5], 2), &plain).contains("0 or 1, for f1"));
    assert!(said(&Auc, 3, &classes(&[0, 1], 2), &plain).contains("one output"));
    let weighted = Columns::default().with(WEIGHT, vec![1.0, 2.0]);
    for task in [&F1::default() as &dyn Task, &Auc, &Ndcg { k: 5 }] {
        assert!(said(task, 2, &classes(&[0, 1], 2), &weighted).contains("no sample weights"));
    }
    assert!(said(&Ndcg { k: 5 }, 1, &values(&[0.0, 1.0], 1), &plain).contains("a column of queries"));
    let queries = Columns::default().with(QUERY, vec![1.0, 2.0]);
    assert!(said(&Ndcg { k: 5 }, 2, &values(&[0.0, 1.0], 1), &queries).contains("one output to rank by"));
    assert!(said(&Ndcg { k: 0 }, 1, &values(&[0.0, 1.0], 1), &queries).contains("at least one rank"));
    assert!(said(&Ndcg { k: 5 }, 1, &values(&[0.0, 1.5], 1), &queries).contains("relevance of row 1"));
}

/// NDCG@k of one query by its definition, where no two outputs are equal.
fn ndcg(k: usize, ranked: &mut [(f64, i32)]) -> f64 {
    let sum = |relevances: &[i32]| {
        let gains = relevances.iter().take(k).enumerate();
        gains.map(|(i, r)| (2f64.powi(*r) - 1.0) / (i as f64 + 2.0).log2()).sum::<f64>()
    };
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut relevances: Vec<i32> = ranked.iter().map(|r| r.1).collect();
    let found = sum(&relevances);
    relevances.sort_by(|a, b| b.cmp(a));
    found / sum(&relevances)
}

#[test]
fn an_ndcg_is_the_mean_over_queries_with_relevant_rows() {
    // Of three queries, whose rows are mixed, the last has no relevant row.
    let query: Vec<f64> = (0..30).map(|i| f64::from(i % 3)).collect();
    let relevance: Vec<f32> = (0..30).map(|i| if i % 3 == 2 { 0.0 } else { (i * 7 % 4) as f32 }).collect();
    let outputs: Vec<f32> = (0..30).map(|i| ((i * 17 + 5) % 31) as f32).collect();
    let (targets, columns) = (values(&relevance, 1), Columns::default().with(QUERY, query));
    let answers = Answers::all(&targets, &columns);
    for k in [1, 3, 10, 50] {
        let one = |q: usize| {
            let mut own: Vec<(f64, i32)> = (0..30)
                .filter(|i| i % 3 == q)
                .map(|i| (f64::from(outputs[i]), relevance[i] as i32))
                .collect();
            ndcg(k, &mut own)
        };
        let want = (one(0) + one(1)) / 2.0;
        let found = Ndcg { k }.of(&rows(1, &outputs), answers).unwrap();
        assert!((f64::from(found) - want).abs() < 1e-6, "{k}: {found} {want}");
    }
}

/// Equal outputs share the mean over all orders that they could have.
#[test]
fn tied_rows_of_a_query_share_their_gains() {
    let relevance = [3.0, 0.0, 1.0, 2.0];
    let (targets, columns) = (values(&relevance, 1), Columns::default().with(QUERY, vec![4.0; 4]));
    let answers = Answers::all(&targets, &columns);
    // The first three are equal: six orders.
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for k in [1, 2, 4] {
        let one = |order: &[usize; 3]| {
            let mut ranked: Vec<(f64, i32)> =
                order.iter().enumerate().map(|(i, row)| (3.0 - i as f64, relevance[*row] as i32)).collect();
            ranked.push((-1.0, relevance[3] as i32));
            ndcg(k, &mut ranked)
        };
        let want = orders.iter().map(one).sum::<f64>() / 6.0;
        let found = Ndcg { k }.of(&rows(1, &[5.0, 5.0, 5.0, 1.0]), answers).unwrap();
        assert!((f64::from(found) - want).abs() < 1e-6, "{k}: {found} {want}");
        assert_eq!(Ndcg { k }.of(&rows(1, &[-0.0, 0.0, 0.0, -1.0]), answers), Some(found));
    }
}

#[test]
fn a_batch_without_a_relevant_row_has_the_worst_ndcg_and_data_without_one_are_refused() {
    let (targets, columns) = (values(&[0.0; 4], 1), Columns::default().with(QUERY, vec![1.0, 1.0, 2.0, 2.0]));
    let answers = Answers::all(&targets, &columns);
    let (task, outputs) = (Ndcg { k: 3 }, rows(1, &[1.0, 2.0, 3.0, 4.0]));
    assert_eq!(task.of(&outputs, answers), None);
    let mut loss = [0.0];
    task.losses(&outputs, answers, &mut loss).unwrap();
    assert_eq!((loss[0], task.metric(loss[0]).unwrap().value), (1.0, 0.0));
    assert!(task.check(1, answers).is_ok());
    assert!(task.check_all(answers).unwrap_err().to_string().contains("in at least one query"));
}
