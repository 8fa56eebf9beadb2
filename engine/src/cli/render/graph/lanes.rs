//! Lanes of the drawing: which column a step stands in, and what runs past it.

/// Columns of lanes, from left to right. A lane belongs to a step and lives until
/// the last step that needs it is placed.
pub(super) struct Lanes<'a> {
    needs: &'a [Vec<usize>],
    /// Steps still to come that need this one.
    owed: Vec<usize>,
    columns: Vec<Option<usize>>,
}

/// How one step is drawn. A `*` stands where its mark goes.
pub(super) struct Drawn {
    /// The row above, where lanes of needed steps reach this one.
    pub(super) joint: Option<String>,
    /// The row above a step that needs none.
    pub(super) gap: String,
    /// The row of the step itself.
    pub(super) node: String,
    /// Rows below it, for notes.
    pub(super) below: String,
}

impl<'a> Lanes<'a> {
    /// For steps with these `needs`, all still to be placed, needed ones first.
    pub(super) fn new(needs: &'a [Vec<usize>]) -> Self {
        let mut owed = vec![0; needs.len()];
        for need in needs.iter().flatten() {
            owed[*need] += 1;
        }
        Self { needs, owed, columns: Vec::new() }
    }

    /// Places `step` below all placed before.
    pub(super) fn place(&mut self, step: usize) -> Drawn {
        let before = self.columns.clone();
        let needed = |lane: &Option<usize>| lane.is_some_and(|s| self.needs[step].contains(&s));
        let sources: Vec<usize> =
            (0..before.len()).filter(|column| needed(&before[*column])).collect();
        for need in &self.needs[step] {
            self.owed[*need] -= 1;
        }
        for lane in &mut self.columns {
            if lane.is_some_and(|owner| self.owed[owner] == 0) {
                *lane = None;
            }
        }
        let own = self.free_column(&sources);
        let gap = straight(&self.columns, None);
        let joint = (!sources.is_empty()).then(|| joint(&before, &self.columns, &sources, own));
        let node = straight(&self.columns, Some(own));
        self.columns[own] = (self.owed[step] > 0).then_some(step);
        let below = straight(&self.columns, None);
        while self.columns.last().is_some_and(Option::is_none) {
            self.columns.pop();
        }
        Drawn { joint, gap, node, below }
    }

    /// The leftmost lane that ends here, else the leftmost that is free.
    fn free_column(&mut self, sources: &[usize]) -> usize {
        let ended = sources.iter().copied().find(|column| self.columns[*column].is_none());
        let column = ended.or_else(|| self.columns.iter().position(Option::is_none));
        let column = column.unwrap_or(self.columns.len());
        if column == self.columns.len() {
            self.columns.push(None);
        }
        column
    }
}

/// Lanes running down; the step's mark at `own`.
fn straight(columns: &[Option<usize>], own: Option<usize>) -> String {
    let sign = |(index, lane): (usize, &Option<usize>)| match (own == Some(index), lane) {
        (true, _) => "* ",
        (false, Some(_)) => "│ ",
        (false, None) => "  ",
    };
    columns.iter().enumerate().map(sign).collect()
}

/// The row in which the lanes at `sources` reach down to the column `own`.
fn joint(
    before: &[Option<usize>],
    after: &[Option<usize>],
    sources: &[usize],
    own: usize,
) -> String {
    let ends = || sources.iter().copied().chain([own]);
    let (first, last) = (ends().min().unwrap_or(own), ends().max().unwrap_or(own));
    let mut row = String::new();
    for column in 0..after.len().max(before.len()) {
        let joins = sources.contains(&column) || column == own;
        let passes = before.get(column).copied().flatten().is_some();
        let up = sources.contains(&column);
        let down = column == own || after.get(column).copied().flatten().is_some();
        row.push(if joins {
            corner([up, down, column > first, column < last])
        } else if passes {
            '│'
        } else if (first..last).contains(&column) {
            '─'
        } else {
            ' '
        });
        row.push(if (first..last).contains(&column) { '─' } else { ' ' });
    }
    row
}

/// The sign that reaches up, down, left and right where its side is set.
fn corner(sides: [bool; 4]) -> char {
    match sides.into() {
        (true, true, false, false) => '│',
        (true, true, false, true) => '├',
        (true, true, true, false) => '┤',
        (true, true, true, true) => '┼',
        (true, false, false, _) => '╰',
        (true, false, true, false) => '╯',
        (true, false, true, true) => '┴',
        (false, _, false, _) => '╭',
        (false, _, true, false) => '╮',
        (false, _, true, true) => '┬',
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(needs: &[&[usize]], expected: &Expect) {
        let needs: Vec<Vec<usize>> = needs.iter().map(|needs| needs.to_vec()).collect();
        let mut lanes = Lanes::new(&needs);
        let mut text = String::new();
        for step in 0..needs.len() {
            let drawn = lanes.place(step);
            for row in drawn.joint.iter().chain([&drawn.node]) {
                text.push_str(row.replace('*', &step.to_string()).trim_end());
                text.push('\n');
            }
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn a_chain_is_one_lane() {
        check(
            &[&[], &[0], &[1]],
            &expect![[r"
            0
            │
            1
            │
            2
        "]],
        );
    }

    #[test]
    fn a_diamond_opens_and_closes() {
        check(
            &[&[], &[0], &[0], &[1, 2]],
            &expect![[r"
            0
            ├─╮
            │ 1
            │ │
            2 │
            ├─╯
            3
        "]],
        );
    }

    #[test]
    fn a_lane_runs_past_steps_that_do_not_need_it() {
        check(
            &[&[], &[0], &[1], &[0, 2], &[]],
            &expect![[r"
            0
            ├─╮
            │ 1
            │ │
            │ 2
            ├─╯
            3
            4
        "]],
        );
    }

    #[test]
    fn many_needs_come_together() {
        check(
            &[&[], &[], &[], &[], &[0, 2, 3], &[1, 4]],
            &expect![[r"
            0
            │ 1
            │ │ 2
            │ │ │ 3
            ├─│─┴─╯
            4 │
            ├─╯
            5
        "]],
        );
    }
}
