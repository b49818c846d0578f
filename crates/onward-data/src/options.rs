//! The table `[data]`: what is trained on and tested with.

use super::table::Label;
use onward::schema::{Choice, Field, Kind, OneOrMore, Preset, Range, Value, is, range};
use onward::{choices, keys};
use std::ops::Bound;
use std::path::PathBuf;

keys! {
    /// How to read data.
    pub struct DataOptions {
        /// The training data. A relative path counts from the spec file's folder, or from the current folder when given
        /// by --set.
        path: PathBuf = Preset::Required;
        /// Data to test with; without it, some rows of `path` are held out (see `test`).
        test_path: Option<PathBuf> = Preset::Unset;
        /// The format of the data files.
        format: Guessed<Format> = is("auto");
        /// Does the first row of a CSV file have the names of the columns? As it looks, by default: words are names, and so
        /// are 0, 1, … and 1, 2, … over at least four columns; what may be names or data is refused. Files to test or
        /// predict with have a header if it is this file's or looks like one.
        header: Guessed<bool> = is("auto");
        /// What stands between the fields of a text table. Without it, as the first 256 KiB look; what may be read in two ways is refused.
        separator: Option<Separator> = Preset::Unset;
        /// What stands before the decimals of a text table's numbers. Without it, as the first 256 KiB look; what may be read in two ways is refused.
        decimal: Option<Decimal> = Preset::Unset;
        /// How a text table's letters are written as bytes. Without it, as the first bytes tell; what is no UTF-8 is taken for Latin-1, which is said.
        encoding: Option<Encoding> = Preset::Unset;
        /// The words of a text table that mean that a value is missing, in any case of letters; without this key: nothing, ?, -, NA, N/A, #N/A,
        /// <NA>, NaN, NaT, null and None.
        missing_words: Option<OneOrMore<String>> = Preset::Unset;
        /// What becomes of missing values of features; "error" without this key. With "mean" or "median", a feature beside each such column says where its values were
        /// missing. Rows whose label is missing are left out by all but "error".
        missing: Option<Missing> = Preset::Unset;
        /// Columns that are neither features nor anything else, said as `label` is.
        ignore: Option<Labels> = Preset::Unset, 0.0..;
        /// Columns that say which row it is, said as `label` is: they are no features, and `onward predict` carries them along.
        id: Option<Labels> = Preset::Unset, 0.0..;
        /// Columns whose values are categories though they look like numbers, dates or texts, said as `label` is. Columns of words are categories anyway.
        categorical: Option<Labels> = Preset::Unset, 0.0..;
        /// How categories become features; "one-hot" without this key.
        categories: Option<Categories> = Preset::Unset;
        /// The column that holds the target, or an array of several columns: a string is its name, a whole number its position
        /// among all columns of the file, counted from 0. Without it the one named "label", else the last. Columns that only say which row it is
        /// (pandas' index, an unnamed first column) are left out and named.
        label: Option<Labels> = Preset::Unset, 0.0..;
        /// Of a language model's tables of texts, and lines of JSON, that have a class each: the column with the text; without it the one named "sentence" or "text".
        text: Option<String> = Preset::Unset;
        /// How a language model is asked about such a text, which stands in the place of `{text}`; without it, by the text alone.
        template: Option<String> = Preset::Unset;
        /// The kind of target.
        target: Target = is(Target::Class);
        /// The column of sample weights, said as `label` is: a row's loss is multiplied by its own over the mean of all. It is no feature. A batch of
        /// rows that weigh nothing has the loss 0, and nothing is learned from it.
        weight: Option<Label> = Preset::Unset, 0.0..;
        /// What a row counts by its class: one number for each class from 0 on, or "balanced", which is rows over (classes × rows of
        /// the class) among the training rows. Multiplied with the sample weight.
        class_weights: Option<ClassWeights> = Preset::Unset, 0.0..;
        /// The column of queries, said as `label` is: rows that are ranked against each other share a number. They come into a batch
        /// and into the test rows together. It is no feature.
        query: Option<Label> = Preset::Unset, 0.0..;
        /// Further columns that `objective.heads` are about or that a program reads, said as `label` is; they are no features, and their numbers
        /// stay as they are in the file.
        columns: Option<Labels> = Preset::Unset, 0.0..;
        /// The shape of a row as [height, width, channels]; without it, what the file says, or one plain vector.
        shape: Option<[usize; 3]> = Preset::Unset, 1.0..=65536.0;
        /// Every feature is multiplied by this first.
        scale: f64 = is(1.0);
        /// How features are centred, with the numbers of the training rows alone. Targets that are values are centred and
        /// scaled too, unless it is "none"; losses and answers are told in the targets' own units all the same.
        center: Center = is(Center::Auto);
        /// How features from 0 to 1, scaled and centred, become bits; without this key they do not.
        binarise: Option<Binarise> = Preset::Unset;
        /// The rows held out for testing where there is no `test_path`: a fraction of all, or how many.
        test: Holdout = is(0.2);
        /// Rows held out of the training rows to choose the best step by, as `test` is said: a fraction of all, or how many. Without it, and without
        /// `validation_path`, the last step is the model's.
        validation: Option<Holdout> = Preset::Unset;
        /// Data to choose the best step by, in a file of their own.
        validation_path: Option<PathBuf> = Preset::Unset;
        /// Are rows held out so that each class has its share of them, as near as whole rows allow? For classes of files without queries, read into memory: rows of a stream are held out by chance.
        stratify: Option<bool> = Preset::Unset;
        /// The key of the random split into training and test rows; independent of the seed, so that runs with different
        /// seeds are tested on the same rows.
        split: u64 = is(0), 0.0..;
        /// Are training rows read from the file as they are needed? They can be more than memory holds then: of a Parquet file, or of
        /// CSV that is not packed, with `train.shuffle` a window of rows, "in-order" or "once". Test rows are kept in memory, so hold
        /// few out (`test = 10000`) or have them in a file of their own. The file is read three times before training begins: for
        /// its digest, which is kept beside it, and for the numbers that centre and scale it; a fourth time for `query`, whose rows have to stand
        /// side by side.
        stream: Option<bool> = Preset::Unset;
        /// Rows are in the order of time, and are trained on as so many streams side by side, the next row of each in every step: the data in as many equal
        /// parts, again and again. For `method.name = "online"`. The rows held out are then the last ones, in their order.
        streams: Option<usize> = Preset::Unset, 1.0..=65536.0;
        /// Of a file of tokens (`format = "tokens"`): all are below this.
        vocabulary: Option<u32> = Preset::Unset, 1.0..=16_777_216.0;
        /// Of texts and files of tokens: how many tokens a row has (of texts at most, and 128 without this key). Rows lie side by side; each token's target is the one that follows.
        length: Option<usize> = Preset::Unset, 1.0..=65536.0;
        /// Of a file of tokens: the one that ends each document, which no row goes beyond.
        end_of_text: Option<u32> = Preset::Unset, 0.0..;
        /// Of a text: what stands between its documents, which no row goes beyond; without it, it is one.
        document_end: Option<String> = Preset::Unset;
        /// Of a file of tokens: does each take four bytes, the lowest first, and not two?
        wide_tokens: Option<bool> = Preset::Unset;
        /// Of a file of tokens: is what fills no row at a document's end a row too, which ends before the others do? Losses are of its own tokens
        /// alone, and each row's is their mean, whatever their number.
        ragged: Option<bool> = Preset::Unset;
        /// Of ragged rows: the token behind their last one, for nets of ONNX files that tell by it where a row ends. Without it a number that is no token:
        /// zeros where it is embedded, which nets that look back alone never see.
        padding: Option<u32> = Preset::Unset, 0.0..;
        /// Train on the first rows only: how many.
        limit: Option<usize> = Preset::Unset, 1.0..;
    }
}

impl DataOptions {
    /// The defaults: tables standardised, class labels, a fifth of the rows held out.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            test_path: None,
            format: Guessed(None),
            header: Guessed(None),
            separator: None,
            decimal: None,
            encoding: None,
            missing_words: None,
            missing: None,
            ignore: None,
            id: None,
            categorical: None,
            categories: None,
            label: None,
            text: None,
            template: None,
            shape: None,
            scale: 1.0,
            center: Center::Auto,
            binarise: None,
            test: Holdout::Fraction(0.2),
            validation: None,
            validation_path: None,
            stratify: None,
            split: 0,
            target: Target::Class,
            weight: None,
            class_weights: None,
            query: None,
            columns: None,
            vocabulary: None,
            length: None,
            end_of_text: None,
            document_end: None,
            wide_tokens: None,
            ragged: None,
            padding: None,
            limit: None,
            stream: None,
            streams: None,
        }
    }
}

choices! {
    /// The format of a data file.
    pub enum Format default Csv {
        /// Comma-separated values.
        Csv = "csv",
        /// IDX, as MNIST comes.
        Idx = "idx",
        /// One NumPy array.
        Npy = "npy",
        /// Several NumPy arrays.
        Npz = "npz",
        /// Parquet.
        Parquet = "parquet",
        /// Tokens: whole numbers of two or four bytes each, one after the other. Never guessed.
        Tokens = "tokens",
        /// Text in UTF-8, for language models.
        Text = "text",
        /// A text in each line, for language models: an object of JSON with "text", or with "prompt" and "completion".
        Jsonl = "jsonl",
    }
}

choices! {
    /// What stands between the fields of a text table.
    pub enum Separator default Comma {
        /// A comma.
        Comma = ",",
        /// A semicolon.
        Semicolon = ";",
        /// A tab.
        Tab = "tab",
        /// A bar.
        Bar = "|",
        /// Blanks or tabs, however many.
        Blanks = "blanks",
    }
}

impl Separator {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Bar, Self::Blanks];

    /// The byte that parts fields.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Bar => b'|',
            Self::Blanks => b' ',
        }
    }
}

choices! {
    /// What stands before the decimals of a number.
    pub enum Decimal default Point {
        /// A point: 1.5.
        Point = ".",
        /// A comma: 1,5.
        Comma = ",",
    }
}

choices! {
    /// How letters are written as bytes.
    pub enum Encoding default Utf8 {
        /// UTF-8, which has ASCII in it.
        Utf8 = "utf-8",
        /// UTF-16 of either order of bytes.
        Utf16 = "utf-16",
        /// Latin-1 with Windows' further letters (Windows-1252).
        Latin1 = "latin-1",
    }
}

choices! {
    /// What becomes of missing values.
    pub enum Missing default Error {
        /// They are refused.
        Error = "error",
        /// A column's mean over the training rows stands for them.
        Mean = "mean",
        /// A column's median over the training rows stands for them.
        Median = "median",
        /// Rows that have some are left out.
        Drop = "drop",
    }
}

choices! {
    /// How categories become features.
    pub enum Categories default OneHot {
        /// Each category is a feature: 1 in its rows, 0 in all others.
        OneHot = "one-hot",
        /// One feature, their number in the order of their names.
        Ordinal = "ordinal",
    }
}

choices! {
    /// The kind of target.
    pub enum Target default Class {
        /// One of several classes.
        Class = "class",
        /// A number.
        Value = "value",
        /// Several labels that hold or not: 0 or 1 in each of the columns.
        Labels = "labels",
    }
}

choices! {
    /// How features are centred and scaled.
    pub enum Center default Auto {
        /// As "standardize" where a row is a plain vector (a table), not at all where it is an image.
        Auto = "auto",
        /// Not at all, nor are targets.
        None = "none",
        /// The one mean of all features of the training rows is subtracted.
        Mean = "mean",
        /// Each feature's mean is subtracted and its standard deviation divided by.
        Standardize = "standardize",
    }
}

choices! {
    /// How features from 0 to 1 become bits.
    pub enum Binarise default Fixed {
        /// 1 with the probability that the feature says, else 0: drawn once, by noise that seed 0, the name "binarise", the row of its file and the feature name
        /// (docs/vae.md), so that every run, whatever its seed, has the same bits.
        Fixed = "fixed",
        /// 1 above a half, else 0.
        Threshold = "threshold",
    }
}

/// A setting that is given, or guessed from the file where it is "auto".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guessed<T>(pub Option<T>);

/// A setting that can be guessed from the file.
pub trait Guess: Field {
    /// How.
    const HOW: &str;
}

impl Guess for Format {
    const HOW: &str = "By the file's ending and first bytes.";
}

impl Guess for bool {
    const HOW: &str = "As it looks.";
}

impl<T: Guess> Field for Guessed<T> {
    fn kind(range: Range) -> Kind {
        let auto = Choice { name: "auto", doc: T::HOW };
        match T::kind(range) {
            Kind::OneOf(words) => Kind::OneOf([vec![auto], words].concat()),
            said => Kind::Either(Box::new(Kind::OneOf(vec![auto])), Box::new(said)),
        }
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        match value?.as_text() {
            Some("auto") => Some(Self(None)),
            _ => T::read(value).map(|said| Self(Some(said))),
        }
    }

    fn value(&self) -> Option<Value> {
        self.0.as_ref().map_or(Some("auto".into()), T::value)
    }
}

impl Field for Label {
    fn kind(range: Range) -> Kind {
        Kind::Either(Box::new(Kind::Text), Box::new(Kind::Int(range)))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        String::read(value).map(Self::Name).or_else(|| usize::read(value).map(Self::Position))
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Name(name) => name.value(),
            Self::Position(position) => position.value(),
        }
    }
}

/// The columns that hold targets, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(pub Vec<Label>);

impl Field for Labels {
    fn kind(range: Range) -> Kind {
        let one = Label::kind(range);
        Kind::Either(Box::new(one.clone()), Box::new(Kind::Array { each: Box::new(one), len: None }))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        let several = || Vec::read(value).filter(|all: &Vec<Label>| !all.is_empty());
        Label::read(value).map(|one| vec![one]).or_else(several).map(Self)
    }

    fn value(&self) -> Option<Value> {
        if let [one] = &self.0[..] { one.value() } else { self.0.value() }
    }
}

/// The weights of rows by their class.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeights {
    /// All classes count alike.
    Balanced,
    /// The given weights, one per class.
    Given(Vec<f64>),
}

impl Field for ClassWeights {
    fn kind(range: Range) -> Kind {
        let balanced = Choice { name: "balanced", doc: "So that all classes count alike." };
        Kind::Either(Box::new(Kind::OneOf(vec![balanced])), Box::new(Vec::<f64>::kind(range)))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        match value?.as_text() {
            Some("balanced") => Some(Self::Balanced),
            _ => Vec::read(value).map(Self::Given),
        }
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Balanced => Some("balanced".into()),
            Self::Given(all) => all.value(),
        }
    }
}

/// The rows that are held out for testing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Holdout {
    /// A fraction of the rows, between 0 and 1.
    Fraction(f64),
    /// A number of rows, at least one.
    Rows(usize),
}

impl Field for Holdout {
    fn kind(_: Range) -> Kind {
        let fraction = (Bound::Excluded(0.0), Bound::Excluded(1.0));
        Kind::Either(Box::new(Kind::Number(fraction)), Box::new(Kind::Int(range(1.0..))))
    }

    fn read(value: Option<&Value>) -> Option<Self> {
        usize::read(value).map(Self::Rows).or_else(|| f64::read(value).map(Self::Fraction))
    }

    fn value(&self) -> Option<Value> {
        match self {
            Self::Fraction(fraction) => fraction.value(),
            Self::Rows(rows) => rows.value(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onward::schema::{Part, Values};

    #[test]
    fn the_defaults_are_those_of_the_keys() {
        let mut values = Values::default();
        values.give("data.path", "d.csv".into());
        values.check(&DataOptions::keys("data", None)).unwrap();
        assert_eq!(DataOptions::read(&values, "data").unwrap(), DataOptions::new("d.csv"));
    }
}
