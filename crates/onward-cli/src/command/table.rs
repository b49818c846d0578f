//! Tables of words in columns.

use onward_report::escape;

/// Rows under a head; columns are as wide as they need to be, and those whose cells are numbers stand to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// One with these heads.
    pub fn new<'a>(heads: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![heads.into_iter().map(str::to_owned).collect()] }
    }

    /// Adds a row with a cell for each head.
    pub fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn columns(&self) -> usize {
        self.rows.first().map_or(0, Vec::len)
    }

    fn cells(&self, column: usize) -> impl Iterator<Item = &String> {
        self.rows.iter().filter_map(move |row| row.get(column))
    }

    /// Whether a column has numbers alone below its head.
    fn is_of_numbers(&self, column: usize) -> bool {
        let is_number = |cell: &String| {
            ["", "-"].contains(&cell.as_str())
                || cell.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))
        };
        self.cells(column).skip(1).all(is_number)
    }

    /// The table of a page, which scrolls where it is wider than that.
    pub fn html(&self) -> String {
        let words: Vec<bool> = (0..self.columns()).map(|at| !self.is_of_numbers(at)).collect();
        let line = |tag: &str, cells: &Vec<String>| {
            let cell = |(text, word): (&String, &bool)| {
                let class = if *word { " class=\"word\"" } else { "" };
                format!("<{tag}{class}>{}</{tag}>", escape(text))
            };
            let cells: String = cells.iter().zip(&words).map(cell).collect();
            format!("<tr>{cells}</tr>\n")
        };
        let head = self.rows.first().map_or_else(String::new, |head| line("th", head));
        let body: String = self.rows.iter().skip(1).map(|row| line("td", row)).collect();
        format!(
            "<div class=\"scroll\" tabindex=\"0\">\n<table class=\"numbers\">\n<thead>{head}</thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
        )
    }

    /// The lines.
    pub fn lines(&self) -> Vec<String> {
        let wide = |at: usize| self.cells(at).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let shape: Vec<(usize, bool)> =
            (0..self.columns()).map(|at| (wide(at), self.is_of_numbers(at))).collect();
        let cell = |(text, (width, right)): (&String, &(usize, bool))| {
            if *right { format!("{text:>width$}") } else { format!("{text:<width$}") }
        };
        let line = |row: &Vec<String>| row.iter().zip(&shape).map(cell).collect::<Vec<_>>().join("  ");
        self.rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let mut table = Table::new(["run", "loss", "state"]);
        table.add(["a".into(), "0.5".into(), "finished".into()]);
        table.add(["long".into(), "-".into(), "diverged".into()]);
        assert_eq!(table.lines(), ["run   loss  state", "a      0.5  finished", "long     -  diverged"]);
        assert!(
            table
                .html()
                .contains("<tr><td class=\"word\">a</td><td>0.5</td><td class=\"word\">finished</td></tr>")
        );
    }
}
