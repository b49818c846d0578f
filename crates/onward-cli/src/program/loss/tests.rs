//! What is a loss, and what is none.

use super::*;

fn of(text: &[u8], key: &str) -> Result<f64, String> {
    read(&Kept { bytes: text.to_vec(), cut: false }, key).map(|reading| reading.loss)
}

#[test]
fn the_last_number_or_the_key_of_json_is_the_loss() {
    let good: [(&str, f64); 36] = [
        ("0.5", 0.5),
        ("3 4\n5\n\n", 5.0),
        ("loss: 0.25\n", 0.25),
        ("loss=-1e-3, done", -1e-3),
        ("epoch 3 (loss 0.125)", 0.125),
        ("The loss is 7.", 7.0),
        ("warming up\n{\"loss\": 2.5, \"seconds\": 9}\n", 2.5),
        ("{\n  \"loss\": 1,\n  \"n\": [3]\n}\n", 1.0),
        ("log\n{\n  \"a\": {\n    \"b\": 1\n  },\n  \"loss\": 2}\n", 2.0),
        ("{\"loss\":0.1}", 0.1),
        ("{\"loss\":2.2250738585072014e-308}", 2.225_073_858_507_201_4e-308),
        ("{\"a\": \"\\\"NaN {\", \"loss\": 4, \"b\": NaN}", 4.0),
        ("[1, 2]", 2.0),
        ("+4", 4.0),
        ("loss 0.5 ± 0.1", 0.5),
        ("0.30000000000000004", 0.1 + 0.2),
        ("Loss 0.5, accuracy 0.9", 0.5),
        ("loss 4 val loss 4", 4.0),
        ("loss of validation, loss 4", 4.0),
        ("3   400", 400.0),
        ("3\t400", 400.0),
        ("0 400", 400.0),
        ("loss 0.5 10/10", 0.5),
        ("10/10 - 3s 25ms/step - loss: 0.5 - accuracy: 0.9", 0.5),
        ("loss = 0.5 (3.2s)", 0.5),
        ("a|0.5|", 0.5),
        ("best -> 0.5", 0.5),
        ("$3.5", 3.5),
        ("50 %", 50.0),
        ("INFO:root:0.5", 0.5),
        (".5", 0.5),
        ("[12:30:05] 0.5 on gpu0", 0.5),
        ("\u{1b}(B\u{1b}[m0.5\u{1b}[39;49m\u{1b}[0m", 0.5),
        ("\u{1b}]0;title 7\u{1b}\\0.5", 0.5),
        ("0.5\u{1b}[\n", 0.5),
        ("1% 3\r2% 4\r", 4.0),
    ];
    for (text, want) in good {
        assert_eq!(of(text.as_bytes(), "loss"), Ok(want), "{text}");
    }
    assert_eq!(of(b"{\"loss\": 1, \"error\": 2}", "error"), Ok(2.0));
    assert_eq!(of(b"loss 1 error 2 in 3 s", "error"), Ok(2.0));
}

#[test]
fn each_rows_loss_stands_in_its_line() {
    let of = |text: &str, rows, cut| read_each(&Kept { bytes: text.into(), cut }, "loss", rows);
    assert_eq!(of("\n0.5\nloss 2 in 3 s\n\n{\"loss\":-1}\n", 3, false), Ok(vec![0.5, 2.0, -1.0]));
    let bad = [
        (of("1\n2\n", 3, false), "printed 2 lines where 3 rows have a loss each"),
        (of("1\n2\n3\nmean 2\n", 3, false), "printed 4 lines where 3 rows have a loss each"),
        (of("1\nnan\n", 2, false), "row 1: the loss is NaN"),
        (of("1\n{\"a\":1}\n", 2, false), "row 1: printed JSON without `loss`"),
        (of("one\n2\n", 2, false), "row 0: printed no number but `one`"),
        (of("1\n2\n", 2, true), "printed more than the"),
    ];
    for (found, words) in bad {
        let found = found.unwrap_err();
        assert!(found.starts_with(words), "{found}");
    }
}

#[test]
fn what_is_no_loss_says_what_it_is() {
    let bad: [(&[u8], &str); 14] = [
        (b"", "printed nothing"),
        (b" \n\n", "printed nothing"),
        (b"all done", "printed no number but `all done`"),
        (b"nan", "the loss is NaN"),
        (b"-nan", "the loss is NaN"),
        (b"loss inf", "the loss is inf"),
        (b"loss nan at step 12", "the loss is NaN"),
        (b"-Infinity", "the loss is -inf"),
        (b"{\"los\": 1}", "printed JSON without `loss`"),
        (b"{\"loss\": null}", "`loss` is no number but null"),
        (b"{\"loss\": \"low\"}", "`loss` is no number but \"low\""),
        (b"{\"loss\": -Infinity, \"n\": 7}", "the loss is -inf"),
        (b"1e999", "the loss is inf"),
        (b"\xff\xfe", "printed no number but `\u{fffd}\u{fffd}`"),
    ];
    for (text, want) in bad {
        assert_eq!(of(text, "loss"), Err(want.to_owned()), "{}", String::from_utf8_lossy(text));
    }
    let long = of("x".repeat(500).as_bytes(), "loss").unwrap_err();
    assert!(long.chars().count() < 120, "{long}");
}

#[test]
fn what_could_be_meant_otherwise_is_no_loss() {
    let bad = [
        ("step 3 95.3x", "`95.3x` begins like a number but is none"),
        ("7 1_000.5", "`1_000.5` begins"),
        ("7 **0.25**", "`**0.25**` begins"),
        ("7 1\u{202f}234", "`1\u{202f}234` begins"),
        ("7 2026-11-27", "`2026-11-27` begins"),
        ("7 0.5\u{8}", "`0.5 ` begins"),
        ("7 1.2.3", "`1.2.3` begins"),
        ("3.5\u{fffd}", "begins like"),
        ("1e", "`1e` begins"),
        ("1e400 is too large, 1 is not", "`1e400` beside `1`"),
        ("loss --", "expected a number after `loss`, found nothing"),
        ("step 7 loss -- at step 12", "found `at`"),
        ("loss 1.5×10^-3", "`1.5×10^-3` begins"),
        ("0.5 ± 0.1", "which it is, in `0.5 ± 0.1`"),
        ("mean 0.5 (+/- 0.1)", "a deviation may be the last number"),
        ("{broken 3", "printed JSON that cannot be read: key must be a string"),
        ("{\"loss\": 1} done", "printed JSON that cannot be read: trailing characters"),
        ("{\"loss\": 1}\n}", "cannot be read"),
        // Signs, separators of thousands, exponents and fractions that stand apart from their number.
        ("loss − 0.5", "`−` before `0.5` may change it, in `loss − 0.5`"),
        ("loss=–0.5", "`–` before `0.5`"),
        ("loss ‐0.5", "`‐` before"),
        ("loss - 0.5", "`-` before"),
        ("- 0.5", "`-` before"),
        ("loss < 0.5", "`<` before"),
        ("loss ~ 0.5", "`~` before"),
        ("loss 1 000", "`1` and `000` may be one number, in `loss 1 000`"),
        ("1 000", "`1` and `000` may"),
        ("12 345.5", "`12` and `345.5` may"),
        ("loss 1\u{2007}000", "`1` and `000` may"),
        ("loss 1.5 × 10^-3", "`1.5` and `10^-3` may"),
        ("loss 1.5 x 10", "`1.5` and `x` may"),
        ("loss 1.5 e-3", "`1.5` and `e-3` may"),
        ("loss 1 / 3", "`1` and `3` may"),
        ("loss 1 1/2", "`1` and `1/2` may"),
        ("loss 1 ½", "`1` and `½` may"),
        ("mean 0.5 (0.1)", "(0.1) after another number may be its deviation; `loss` before the other says"),
        ("loss 3 val loss 4", "3 and 4 stand after `loss`, in `loss 3 val loss 4`"),
        ("{\"loss\":1,\"loss\":2}", "`loss` stands in it twice"),
        ("{\"loss\":1,\"g\":1,\"g\":2}", "`g` stands in it twice"),
        ("a: {\"b\": 1,\n\"c\": 2}", "printed the end of JSON that no line begins: `\"c\": 2}`"),
    ];
    for (text, want) in bad {
        let found = of(text.as_bytes(), "loss").unwrap_err();
        assert!(found.contains(want), "{text}: {found}");
    }
    let cut = Kept { bytes: b"7.5, 7.5]}".repeat(1000), cut: true };
    assert!(read(&cut, "loss").unwrap_err().contains("last line is longer than the 9 KiB"));
}
