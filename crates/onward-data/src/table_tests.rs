//! Tables as people have them: words, categories, missing values, and columns that are neither; the same in memory and as streams.

use onward::ask::Shuffle;

use super::npy::tests::npy;
use super::tests::{Folder, error, load_more};
use super::*;

const ROWS: &str = "id,colour,size,ok,note,kind\n\
    a1,red,1.5,yes,x,cat\n\
    a2,blue,,no,y,dog\n\
    a3,red,2.5,yes,z,cat\n\
    a4,green,3.5,no,w,dog\n\
    a5,blue,4.5,yes,v,cat\n";

fn named(name: &str) -> Option<Labels> {
    Some(Labels(vec![Label::Name(name.into())]))
}

fn people(folder: &Folder, text: &str) -> DataOptions {
    let test_path = Some(folder.put("test.csv", ROWS.replace("yes,x,", "yes,other,")));
    DataOptions {
        id: named("id"),
        ignore: named("note"),
        center: Center::None,
        missing: Some(Missing::Mean),
        test_path,
        ..DataOptions::new(folder.put("people.csv", text))
    }
}

#[test]
fn categories_words_and_missing_values_become_features() {
    let folder = Folder::new();
    let options = people(&folder, ROWS);
    let split = load(&options).unwrap();
    let kept = &split.preparation;
    let names = ["colour=blue", "colour=green", "colour=red", "size", "size is missing", "ok"];
    assert_eq!(
        (&kept.names[..], &kept.classes[..]),
        (&names.map(String::from)[..], &["cat".to_owned(), "dog".into()][..])
    );
    assert_eq!(split.train.row(0), [0.0, 0.0, 1.0, 1.5, 0.0, 1.0]);
    assert_eq!(split.train.row(1), [1.0, 0.0, 0.0, 3.0, 1.0, 0.0], "the mean of 1.5, 2.5, 3.5 and 4.5");
    assert_eq!(split.train.targets(), &Targets::Classes { labels: vec![0, 1, 0, 1, 0], classes: 2 });
    assert_eq!(split.test, split.train);
    let again: Preparation = serde_json::from_str(&serde_json::to_string(kept).unwrap()).unwrap();
    assert_eq!(again, *kept);
    let more = |text: &str| load_more(&folder.put("more.csv", text), &options, kept, 2);
    let (features, rows, answers) = more("ok,size,extra,colour\nno,?,9,green\n").unwrap();
    assert_eq!((&features[..], rows, answers), (&[0.0, 1.0, 0.0, 3.0, 1.0, 0.0][..], 1, None));
    let (.., answers) = more("kind,ok,size,colour\ndog,no,1,red\n").unwrap();
    let dog = Targets::Classes { labels: vec![1], classes: 2 };
    assert_eq!(answers.unwrap().0, dog, "the label is found by the name that was kept");
    let (.., answers) = more(ROWS).unwrap();
    assert_eq!(answers.unwrap().0, *split.test.targets());
    let message = |text: &str| more(text).unwrap_err().to_string();
    let text = message("ok,size,colour\nno,1,purple\n");
    assert!(
        text.contains("row 0 (from 0), column \"colour\": expected a category of the training rows")
            && text.ends_with("found \"purple\""),
        "{text}"
    );
    assert!(message(&ROWS.replace("dog", "cow")).contains("expected one of the classes cat, dog, found cow"));
    assert!(
        message("ok,size,colour\nno,big,red\n")
            .contains("line 2, column 2 (\"size\"): expected a finite number")
    );
}

#[test]
fn what_stands_for_missing_values_is_of_the_training_rows() {
    let folder = Folder::new();
    let text = "x,label\n1,0\n2,1\n9,0\n,1\n4,0\n";
    let of = |missing| {
        let options = DataOptions {
            missing: Some(missing),
            center: Center::None,
            test_path: Some(folder.put("t.csv", "x,label\n100,1\n,0\n")),
            ..DataOptions::new(folder.put("m.csv", text))
        };
        load(&options).map(|split| (split.train.features().to_vec(), split.test.features().to_vec()))
    };
    let (train, test) = of(Missing::Mean).unwrap();
    assert_eq!((&train[6..8], &test[..]), (&[4.0, 1.0][..], &[100.0, 0.0, 4.0, 1.0][..]));
    assert_eq!(of(Missing::Median).unwrap().0[6..8], [3.0, 1.0]);
    assert_eq!(of(Missing::Drop).unwrap(), (vec![1.0, 2.0, 9.0, 4.0], vec![100.0]));
    let unanswered = "x,label\n1,0\n2,1\n9,\n5,1\n4,0\n";
    let options =
        DataOptions { missing: Some(Missing::Mean), ..DataOptions::new(folder.put("u.csv", unanswered)) };
    let split = load(&options).unwrap();
    assert_eq!(
        (split.train.rows() + split.test.rows(), split.summary.dropped_rows),
        (4, 1),
        "nothing stands for an answer"
    );
    let streamed = open(&DataOptions { stream: Some(true), ..options.clone() }, Shuffle::Window(2))
        .err()
        .unwrap()
        .to_string();
    assert!(streamed.contains("line 4, column 2") && streamed.contains("a label"), "{streamed}");
    let more =
        load_more(&folder.put("m2.csv", "x,label\n1,\n2,\n"), &options, &split.preparation, 2).unwrap();
    assert_eq!((more.1, more.2), (2, None), "rows without answers can be answered");
    let text = of(Missing::Error).unwrap_err().to_string();
    assert!(
        text.contains("m.csv: line 5, column 1 (\"x\")")
            && text.contains("data.missing")
            && text.contains("missing value"),
        "{text}"
    );
}

#[test]
fn columns_that_cannot_be_understood_say_which_key_helps() {
    let folder = Folder::new();
    let of = |text: &str| error(&DataOptions::new(folder.put("t.csv", text)));
    let rows = |cell: fn(usize) -> String| {
        (0..60).map(|i| format!("{},{},{}\n", cell(i), i % 5, i % 2)).collect::<String>()
    };
    let below = |cell| "c,x,label\n".to_owned() + &rows(cell);
    for (text, words) in [
        (below(|i| format!("2020-01-{:02}", 1 + i % 28)), "not dates"),
        (below(|i| format!("{}%", i % 7)), "plain numbers or categories"),
        (below(|i| format!("person {i}")), "60 different texts"),
        (
            below(|i| if i == 30 { "x".into() } else { i.to_string() }),
            "line 32, column 1 (\"c\"): expected a finite number, found \"x\"",
        ),
        ("x,label\n1,a\n2,b\n3,1\n".into(), "data.categorical"),
        ("x,label\n1,a\n2,\n3,b\n".into(), "data.missing = \"drop\""),
    ] {
        assert!(of(&text).contains(words), "{}", of(&text));
    }
    let zip = "zip,label\n10115,0\n20095,1\n10115,0\nx,1\n10115,0\n";
    let options = |more: DataOptions| DataOptions { center: Center::None, test: Holdout::Rows(1), ..more };
    let told = DataOptions { categorical: named("zip"), ..DataOptions::new(folder.put("z.csv", zip)) };
    let split = load(&options(told.clone())).unwrap();
    assert_eq!(split.preparation.names, ["zip=10115", "zip=20095", "zip=x"]);
    let split = load(&options(DataOptions { categories: Some(Categories::Ordinal), ..told })).unwrap();
    assert_eq!(
        (split.preparation.names, split.train.features()),
        (vec!["zip".to_owned()], &[0.0, 0.0, 2.0, 0.0][..])
    );
}

#[test]
fn words_without_a_header_are_told_from_one() {
    let folder = Folder::new();
    let flowers: String =
        (0..9).map(|i| format!("{},{},{}\n", i, i * i, ["setosa", "virginica"][i % 2])).collect();
    let split = load(&DataOptions::new(folder.put("flowers.data", &flowers))).unwrap();
    assert_eq!(
        (split.train.rows() + split.test.rows(), &split.preparation.classes[..]),
        (9, &["setosa".to_owned(), "virginica".into()][..])
    );
    let cars = "buying,doors,class\nhigh,two,bad\nlow,two,good\nhigh,more,bad\nlow,more,good\n";
    let split = load(&DataOptions::new(folder.put("cars.csv", cars))).unwrap();
    assert_eq!(split.preparation.names[0], "buying=high");
    let split = load(&DataOptions::new(folder.put("bare.csv", &cars[20..]))).unwrap();
    assert_eq!(split.train.rows() + split.test.rows(), 4);
    let unsure = error(&DataOptions::new(folder.put("unsure.csv", "a,b\nc,d\ne,f\n")));
    assert!(unsure.contains("data.header = true or false"), "{unsure}");
    let unsure = error(&DataOptions::new(folder.put("unsure.csv", "ann,1,0\nben,2,1\ncid,3,0\n")));
    assert!(unsure.contains("data.header"), "{unsure}");
}

#[test]
fn streams_understand_columns_as_memory_does() {
    let folder = Folder::new();
    let mut text = "id,colour,size,ok,note,kind\n".to_owned();
    for row in 0..300 {
        let size = if row % 7 == 3 { "NA".into() } else { format!("{}", row * 31 % 17) };
        text += &format!(
            "r{row},{},{size},{},n{row},{}\n",
            ["red", "blue", "green"][row % 3],
            row % 4 == 1,
            ["dog", "cat"][row * 5 % 2]
        );
    }
    for class_weights in [None, Some(ClassWeights::Balanced)] {
        let options =
            DataOptions { center: Center::Auto, test_path: None, class_weights, ..people(&folder, &text) };
        let memory = load(&options).unwrap();
        let streamed = open(&DataOptions { stream: Some(true), ..options }, Shuffle::Window(16)).unwrap();
        assert_eq!((&memory.preparation, &memory.test), (&streamed.preparation, &streamed.test));
        let all: Vec<u64> = (0..memory.train.rows() as u64).collect();
        let rows = streamed.train.read(&all).unwrap();
        assert_eq!(rows, Source::read(&memory.train, &all).unwrap());
    }
    for (missing, words) in [(Missing::Drop, "\"drop\""), (Missing::Median, "\"median\"")] {
        let options = DataOptions {
            missing: Some(missing),
            stream: Some(true),
            test_path: None,
            ..people(&folder, &text)
        };
        let text = open(&options, Shuffle::Window(16)).err().unwrap().to_string();
        assert!(text.contains("data.missing") && text.ends_with(words), "{text}");
    }
    let utf16 = DataOptions { encoding: Some(Encoding::Utf16), stream: Some(true), ..people(&folder, &text) };
    assert!(open(&utf16, Shuffle::Window(16)).err().unwrap().to_string().contains("data.encoding"));
}

#[test]
fn times_of_day_and_months_become_categories_aloud() {
    let folder = Folder::new();
    for (cells, shown) in
        [(["12:30", "9:05", "12:30"], "2 times"), (["2024-05", "2024-06", "2023-01"], "3 times")]
    {
        let [a, b, c] = cells;
        let text = format!("at,x,label\n{a},1,0\n{b},2,1\n{c},3,0\n");
        let split = load(&DataOptions::new(folder.put("d.csv", text))).unwrap();
        let note = format!("column \"at\" has {shown}, each taken for a category of its own");
        assert!(split.notes.iter().any(|own| own.contains(&note)), "{:?}", split.notes);
        assert!(split.summary.words().contains("categories in at"), "{}", split.summary.words());
    }
    let declared = DataOptions {
        categorical: named("at"),
        ..DataOptions::new(folder.put("d.csv", "at,x,label\n12:30,1,0\n9:05,2,1\n12:30,3,0\n"))
    };
    assert_eq!(load(&declared).unwrap().notes, [""; 0], "as was said");
}

#[test]
fn numbers_that_are_rounded_are_told_and_queries_refused() {
    let folder = Folder::new();
    let text = "id,x,label\n9007199254740993,1,0\n9007199254740992,2,1\n4,3,0\n5,4,1\n";
    let options = DataOptions::new(folder.put("d.csv", text));
    for options in [options.clone(), DataOptions { stream: Some(true), ..options.clone() }] {
        let notes = open(&options, Shuffle::InOrder).unwrap().notes;
        let told = "column \"id\" has whole numbers such as 9007199254740993, which are rounded";
        assert!(notes.iter().any(|note| note.contains(told)), "{notes:?}");
    }
    let wide: Vec<u8> = [1i64, 0, (1 << 60) + 1, 1].iter().flat_map(|v| v.to_le_bytes()).collect();
    let array = folder.put("d.npy", npy("<i8", "False", "(2, 2)", &wide));
    let notes = load(&DataOptions { test: Holdout::Rows(1), ..DataOptions::new(array) }).unwrap().notes;
    assert!(notes[0].contains("such as 1152921504606846977"), "{notes:?}");
    let query = Label::Name("id".into());
    let queries = DataOptions { query: Some(query.clone()), test: Holdout::Rows(1), ..options.clone() };
    for queries in [queries.clone(), DataOptions { stream: Some(true), ..queries }] {
        let message = open(&queries, Shuffle::InOrder).err().unwrap().to_string();
        assert!(message.contains("a number below 2^53"), "{message}");
    }
    let labels = DataOptions { label: named("id"), ..options };
    let message = error(&labels);
    assert!(message.contains("a whole number below 9e15"), "{message}");
    let declared = DataOptions { categorical: named("id"), label: named("label"), ..labels };
    assert!(error(&declared).contains("whole numbers below 9e15"), "{}", error(&declared));
}
