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

    /// The table of a page, which scrolls where it is wider than that.
    pub fn html(&self) -> String {
        let line = |tag: &str, cells: &Vec<String>| {
            let cells: String = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", escape(c))).collect();
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
        let columns = self.rows.first().map_or(0, Vec::len);
        let cells = |at: usize| self.rows.iter().filter_map(move |row| row.get(at));
        let wide = |at: usize| cells(at).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let is_number =
            |cell: &String| cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let right = |at: usize| cells(at).skip(1).all(is_number);
        let shape: Vec<(usize, bool)> = (0..columns).map(|at| (wide(at), right(at))).collect();
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
        assert!(table.html().contains("<tr><td>a</td><td>0.5</td><td>finished</td></tr>"));
    }
}
