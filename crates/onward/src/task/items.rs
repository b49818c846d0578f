//! Losses of a row's items, each of which is answered on its own: tokens, pixels.

use super::loss::{entropies, entropy_by_outputs, refused};
use super::{Answers, Metric, Task, mean};
use crate::Result;
use crate::dataset::{NO_ITEM, Targets, UNASKED};
use crate::kernel::exp;
use crate::model::Act;

/// The mean over a row's items of the negative log-probability of each one's right class. The targets are values, one class for each
/// item, [`UNASKED`] for those that do not count, and [`NO_ITEM`] behind the last where rows end before others do: only items that are asked count. A row's outputs are as many stretches of
/// numbers, one number for each class. Its metric is the perplexity, `e` to the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemCrossEntropy;

/// The classes of items, and how many items a row has at most.
fn classes_of<'a>(answers: &Answers<'a>) -> Result<(&'a [f32], usize)> {
    match answers.targets {
        Targets::Values { values, width } => Ok((values, *width)),
        Targets::Classes { .. } => {
            let expected = "a class for each item of a row, as values";
            Err(refused("targets", expected, "one class a row".into()))
        }
    }
}

/// How many items a row has.
fn length(classes: &[f32]) -> usize {
    classes.iter().position(|class| *class == NO_ITEM).unwrap_or(classes.len())
}

/// The items of a row that are asked about.
fn asked(classes: &[f32]) -> impl Iterator<Item = usize> {
    let there = &classes[..length(classes)];
    there.iter().enumerate().filter(|(_, class)| **class != UNASKED).map(|(item, _)| item)
}

impl Task for ItemCrossEntropy {
    fn check(&self, outputs: usize, answers: Answers<'_>) -> Result<()> {
        let (values, items) = classes_of(&answers)?;
        if items == 0 || outputs == 0 || !outputs.is_multiple_of(items) {
            let expected = format!("outputs for each of {items} items, as many for one as for another");
            return Err(refused("outputs", expected, outputs.to_string()));
        }
        let classes = outputs / items;
        let sound = |class: &f32| class.fract() == 0.0 && (0.0..classes as f32).contains(class);
        for (row, own) in values.chunks_exact(items).enumerate() {
            let (there, behind) = own.split_at(length(own));
            if asked(own).next().is_none() {
                let found = "none: a row without items teaches nothing";
                return Err(refused(format!("targets of row {row}"), "at least one item", found.into()));
            }
            let odd = there.iter().position(|class| *class != UNASKED && !sound(class));
            let odd = odd.or(behind.iter().position(|class| *class != NO_ITEM).map(|at| there.len() + at));
            if let Some(item) = odd {
                let place = format!("target of item {item} of row {row}");
                let expected = format!("a class that one of an item's {classes} outputs stands for");
                return Err(refused(place, expected, own[item].to_string()));
            }
        }
        Ok(())
    }

    fn losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> Result<()> {
        let (values, items) = classes_of(&answers)?;
        let mut each = vec![0.0; outputs.rows() * items];
        // Where nothing is asked, any class will do: what comes of it is left out. No class is below 0.
        let class = |item: usize| values[answers.sample(item / items) * items + item % items] as usize;
        entropies(outputs.data(), outputs.width() / items, class, &mut each);
        for (row, (loss, each)) in losses.iter_mut().zip(each.chunks_exact(items)).enumerate() {
            let classes = &values[answers.sample(row) * items..][..items];
            *loss = match length(classes) == items && !classes.contains(&UNASKED) {
                true => mean(each),
                false => mean(&asked(classes).map(|item| each[item]).collect::<Vec<_>>()),
            };
        }
        Ok(())
    }

    fn item_losses(&self, outputs: &Act, answers: Answers<'_>, losses: &mut [f32]) -> bool {
        let Ok((values, items)) = classes_of(&answers) else { return false };
        if losses.len() != outputs.rows() * items {
            return false;
        }
        let class = |item: usize| values[answers.sample(item / items) * items + item % items] as usize;
        entropies(outputs.data(), outputs.width() / items, class, losses);
        for (row, own) in losses.chunks_exact_mut(items).enumerate() {
            let classes = &values[answers.sample(row) * items..][..items];
            let there = asked(classes).count() as f32;
            let each = own.iter_mut().zip(classes);
            each.for_each(|(loss, class)| *loss = if *class >= 0.0 { *loss / there } else { 0.0 });
        }
        true
    }

    fn derivative(&self, outputs: &Act, answers: Answers<'_>, by_outputs: &mut [f32]) -> bool {
        let Ok((values, items)) = classes_of(&answers) else { return false };
        by_outputs.copy_from_slice(outputs.data());
        for (row, own) in by_outputs.chunks_exact_mut(outputs.width()).enumerate() {
            let classes = &values[answers.sample(row) * items..][..items];
            let (there, width) = (asked(classes).count(), own.len() / items);
            for (item, own) in own.chunks_exact_mut(width).enumerate() {
                if classes[item] >= 0.0 {
                    entropy_by_outputs(own, classes[item] as usize);
                    own.iter_mut().for_each(|v| *v /= there as f32);
                } else {
                    own.fill(0.0);
                }
            }
        }
        true
    }

    fn scored_by_rows(&self) -> bool {
        true
    }

    fn metric(&self, loss: f32) -> Option<Metric> {
        Some(Metric { name: "perplexity".into(), value: exp(loss) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Columns;
    use crate::task::Loss;

    #[test]
    fn a_rows_loss_is_the_mean_of_its_items() {
        // Two rows of three items with four classes each, seen twice.
        let numbers: Vec<f32> = (0..48).map(|i| ((i * 37 % 23) as f32 - 11.0) / 4.0).collect();
        let classes = [0u32, 3, 1, 2, 2, 0];
        let targets = Targets::Values { values: classes.iter().map(|c| *c as f32).collect(), width: 3 };
        let columns = Columns::default();
        let mut found = vec![0.0; 4];
        for shape in [[1, 3, 4], [1, 1, 12]] {
            let outputs = Act::new(4, shape, numbers.clone());
            ItemCrossEntropy.losses(&outputs, Answers::all(&targets, &columns), &mut found).unwrap();
            let items = Targets::Classes { labels: classes.to_vec(), classes: 4 };
            let mut each = vec![0.0; 12];
            let flat = Act::new(12, [1, 1, 4], numbers.clone());
            Loss::CrossEntropy.losses(&flat, Answers::all(&items, &columns), &mut each).unwrap();
            let wanted: Vec<f32> = each.chunks(3).map(mean).collect();
            assert_eq!(found, wanted);
        }
        assert_eq!(ItemCrossEntropy.metric(0.0).unwrap().value, 1.0);
    }

    #[test]
    fn only_the_items_of_a_row_count() {
        let mut numbers: Vec<f32> = (0..24).map(|i| ((i * 37 % 23) as f32 - 11.0) / 4.0).collect();
        let columns = Columns::default();
        let loss = |numbers: &[f32], classes: &[f32], items: usize| {
            let rows = classes.len() / items;
            let targets = Targets::Values { values: classes.to_vec(), width: items };
            let outputs = Act::new(rows, [1, items, numbers.len() / rows / items], numbers.to_vec());
            let mut found = vec![0.0; rows];
            ItemCrossEntropy.check(outputs.width(), Answers::all(&targets, &columns)).unwrap();
            ItemCrossEntropy.losses(&outputs, Answers::all(&targets, &columns), &mut found).unwrap();
            found
        };
        let alone = loss(&numbers[12..16], &[2.0], 1);
        // What is answered behind the end means nothing.
        numbers[16..].fill(f32::NAN);
        let found = loss(&numbers, &[1.0, 3.0, 0.0, 2.0, NO_ITEM, NO_ITEM], 3);
        assert_eq!(found[1], alone[0]);
        assert_eq!(found[0], loss(&numbers[..12], &[1.0, 3.0, 0.0], 3)[0]);
        // Nor does what is answered where nothing is asked.
        let mut prompted = numbers[..16].to_vec();
        prompted[..4].fill(f32::NAN);
        let found = loss(&prompted, &[UNASKED, 3.0, UNASKED, 1.0], 4);
        let both = [loss(&numbers[4..8], &[3.0], 1)[0], loss(&numbers[12..16], &[1.0], 1)[0]];
        assert_eq!(found[0], mean(&both));
        let refused = |values: &[f32]| {
            let targets = Targets::Values { values: values.to_vec(), width: 2 };
            ItemCrossEntropy.check(4, Answers::all(&targets, &columns)).unwrap_err().to_string()
        };
        assert!(refused(&[1.0, 1.0, UNASKED, NO_ITEM]).starts_with("targets of row 1"));
        assert_eq!(
            refused(&[1.0, NO_ITEM, NO_ITEM, NO_ITEM]),
            "targets of row 1: expected at least one item, found none: a row without items teaches nothing"
        );
        assert!(refused(&[NO_ITEM, 1.0]).starts_with("targets of row 0: expected at least one item"));
        assert!(refused(&[1.0, -3.0]).starts_with("target of item 1 of row 0"));
    }

    #[test]
    fn what_items_cannot_be_answered_with_is_refused() {
        let columns = Columns::default();
        let refused = |outputs, targets: Targets| {
            ItemCrossEntropy.check(outputs, Answers::all(&targets, &columns)).unwrap_err().to_string()
        };
        let values = |values: &[f32]| Targets::Values { values: values.to_vec(), width: 2 };
        assert!(
            refused(4, Targets::Classes { labels: vec![1], classes: 2 }).contains("a class for each item")
        );
        assert!(refused(5, values(&[0.0, 1.0])).contains("outputs for each of 2 items"));
        let error = refused(4, values(&[0.0, 1.0, 1.0, 2.0]));
        assert_eq!(
            error,
            "target of item 1 of row 1: expected a class that one of an item's 2 outputs stands for, found 2"
        );
        assert!(refused(4, values(&[0.5, 1.0])).ends_with("found 0.5"));
        assert!(refused(4, values(&[f32::NAN, 1.0])).ends_with("found NaN"));
    }
}
