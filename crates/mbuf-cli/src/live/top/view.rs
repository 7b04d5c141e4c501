//! What `top` shows.

use std::collections::VecDeque;

use mbuf::ClassStats;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};

use super::app::{App, Track};
use crate::live::bytes;
use crate::live::stat::printable;

/// Cells of a bar.
const BAR: usize = 24;
/// Lines of the table of classes.
const CLASSES: u16 = 10;
/// What the widest table needs; on a narrower screen, columns are left out.
const WIDE: u16 = 64;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App) {
    let pools = app.order().len() as u16;
    // The pools first; what there is no room for is left out.
    let room = frame.area().height.saturating_sub(2);
    let list_rows = (pools + 3).clamp(4, 12).min(room);
    let classes_rows = if room - list_rows < CLASSES { 0 } else { CLASSES };
    let [title, list, classes, history, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(list_rows),
        Constraint::Length(classes_rows),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let processes =
        app.order().iter().map(|((pid, _), _)| *pid).collect::<std::collections::BTreeSet<_>>().len();
    frame.render_widget(
        Line::from(format!("mbufctl top: {processes} processes, {pools} pools, by {}", app.sort.name()))
            .bold(),
        title,
    );
    draw_pools(frame, app, list);
    match app.selected() {
        Some((_, track)) => {
            draw_classes(frame, track, classes);
            draw_history(frame, track, history);
        }
        None => {
            let area = classes.union(history);
            frame
                .render_widget(Paragraph::new("no process publishes pools; one that does will appear"), area);
        }
    }
    let foot_line = match app.trouble.first() {
        Some(trouble) => Line::from(printable(trouble)).reversed(),
        None => Line::from("↑ ↓ select   s sort   q quit"),
    };
    frame.render_widget(foot_line, foot);
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

/// A column of the table of pools.
struct Column {
    name: &'static str,
    width: Constraint,
    /// Also on a narrow screen.
    always: bool,
}

const COLUMNS: [Column; 7] = [
    Column { name: "pid", width: Constraint::Length(8), always: true },
    Column { name: "program", width: Constraint::Fill(1), always: false },
    Column { name: "pool", width: Constraint::Fill(1), always: true },
    Column { name: "in use", width: Constraint::Length(9), always: true },
    Column { name: "cached", width: Constraint::Length(9), always: false },
    Column { name: "mbufs/s", width: Constraint::Length(12), always: true },
    Column { name: "denied/s", width: Constraint::Length(9), always: false },
];

fn draw_pools(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let order = app.order();
    let wide = area.width >= WIDE;
    let rows = order.iter().map(|((pid, _), track)| {
        let Track { program, stats, rates, stale, .. } = track;
        let cells = [
            right(pid.to_string()),
            Cell::from(printable(program)),
            Cell::from(printable(&stats.name)),
            right(bytes(stats.bytes_in_use())),
            right(bytes(stats.bytes_cached())),
            right(stale.clone().unwrap_or_else(|| format!("{:.0}", rates.allocations))),
            right(format!("{:.0}", rates.denied)),
        ];
        Row::new(
            cells.into_iter().zip(COLUMNS).filter(|(_, column)| wide || column.always).map(|(cell, _)| cell),
        )
    });
    let columns = || COLUMNS.iter().filter(|column| wide || column.always);
    let header = Row::new(columns().map(|&Column { name, width, .. }| match width {
        Constraint::Fill(_) => Cell::from(name),
        _ => right(name.to_owned()),
    }));
    let widths = columns().map(|column| column.width);
    let table = Table::new(rows, widths)
        .header(header.style(Style::new().add_modifier(Modifier::BOLD)))
        .highlight_symbol("▶ ")
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title("pools"));
    let selected = app.selected().and_then(|(key, _)| order.iter().position(|&(other, _)| other == key));
    frame.render_stateful_widget(table, area, &mut TableState::default().with_selected(selected));
}

fn draw_classes(frame: &mut Frame<'_>, track: &Track, area: Rect) {
    let rows = track.stats.classes().map(|(name, class)| {
        Row::new([
            Cell::from(name.replace('_', " ")),
            Cell::from(bar(class)),
            right(class.current.to_string()),
            right(class.limit.map_or("unlimited".into(), |limit| limit.to_string())),
            right(class.cached.to_string()),
            right(class.peak.map_or_else(String::new, |peak| peak.to_string())),
            right(class.denied.to_string()),
        ])
    });
    let columns = ["class", "", "in use", "limit", "cached", "peak", "denied"];
    let header = columns
        .iter()
        .enumerate()
        .map(|(at, &name)| if at < 2 { Cell::from(name) } else { right(name.to_owned()) });
    let widths = [
        Constraint::Length(10),
        Constraint::Length(BAR as u16),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Fill(1),
    ];
    let title = format!("classes of {}", printable(&track.stats.name));
    let table = Table::new(rows, widths)
        .header(Row::new(header).style(Style::new().add_modifier(Modifier::BOLD)))
        .block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

/// How much is in use, of the limit, or without one of the peak.
fn bar(class: &ClassStats) -> String {
    let (most, full) = class.limit.map_or((class.peak.unwrap_or(class.total), '▒'), |limit| (limit, '█'));
    let cells = match most {
        0 => 0,
        most => (class.current as u128 * BAR as u128).div_ceil(most as u128).min(BAR as u128) as usize,
    };
    (0..BAR).map(|at| if at < cells { full } else { '·' }).collect()
}

fn draw_history(frame: &mut Frame<'_>, track: &Track, area: Rect) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2]).areas(area);
    let stale = track.stale.as_ref().map_or_else(String::new, |stale| format!(", {stale}"));
    graph(frame, left, &format!("mbufs/s {:.0}{stale}", track.rates.allocations), &track.speed);
    graph(frame, right, &format!("in use {}", bytes(track.stats.bytes_in_use())), &track.memory);
}

/// The last points that there is room for, the last one at the right.
fn graph(frame: &mut Frame<'_>, area: Rect, title: &str, history: &VecDeque<u64>) {
    let block = Block::bordered().title(title.to_owned());
    let width = usize::from(block.inner(area).width);
    let mut points = vec![0; width.saturating_sub(history.len())];
    points.extend(history.iter().skip(history.len().saturating_sub(width)));
    frame.render_widget(Sparkline::default().block(block).data(&points), area);
}

#[cfg(test)]
mod tests {
    use mbuf::publish::ProcessStats;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::{Value, json};

    use super::*;
    use crate::live::Look;

    fn screen(app: &App, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, app)).unwrap();
        let buffer = terminal.backend().buffer();
        let mut text = String::new();
        for y in 0..height {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn process(pid: u32, program: &str, written_ms: u64, pools: Value) -> ProcessStats {
        let value = json!({ "pid": pid, "program": program, "written_ms": written_ms, "pools": pools });
        serde_json::from_value(value).unwrap()
    }

    fn look(processes: impl IntoIterator<Item = ProcessStats>) -> Look {
        Look { processes: processes.into_iter().collect(), ..Look::default() }
    }

    /// A gateway under load and a small tool, at a time in quarters of a second.
    fn moment(n: u64) -> Look {
        // What is wanted grows past the limit on clusters and falls, and by how much it is past that is denied.
        let wanted = |n: u64| 640 + (n * 37 + 240) % 430;
        let used = wanted(n).min(1024);
        let denied = (0..=n).map(|n| wanted(n).saturating_sub(1024)).sum::<u64>();
        let peak = (0..=n).map(wanted).max().unwrap_or(0).min(1024);
        let class = |size: u64, current: u64, cached: u64, peak: u64, limit: Value, denied: u64| {
            json!({ "size": size, "current": current, "cached": cached, "total": peak, "limit": limit,
                    "peak": peak, "allocations": 2000 + n * (2000 + 40 * n), "denied": denied })
        };
        let cached = (1024 - used).min(64);
        let peak = peak.max(used + cached);
        let mut pairs = class(2304, used, cached, used + cached, 1024.into(), denied);
        pairs["peak"] = Value::Null;
        let rx = json!({ "name": "rx", "mbufs": class(256, used + 32, 64, peak + 96, Value::Null, 0),
            "packets": pairs,
            "clusters": class(2048, used, cached, peak, 1024.into(), denied),
            "jumbo_page": class(4096, 12, 64, 76, 512.into(), 0) });
        let tx = json!({ "name": "tx", "mbufs": class(256, 31, 64, 95, 4096.into(), 0) });
        look([
            process(4711, "gateway", 1000 + n * 250, json!([rx, tx])),
            process(4805, "mbufctl", 1000 + n * 250, json!([{ "name": "replay" }])),
        ])
    }

    fn at_work() -> App {
        let mut app = App::default();
        (0..40).for_each(|n| app.update(moment(n)));
        app
    }

    #[test]
    fn the_screen_is_the_one_in_the_manual() {
        let screen = screen(&at_work(), 96, 30);
        let manual = include_str!("../../../../../docs/operations.md");
        assert!(manual.contains(&screen), "docs/operations.md should show this screen:\n{screen}");
    }

    #[test]
    fn the_figures_in_the_manual_are_possible() {
        for n in 0..40 {
            for pool in moment(n).processes.iter().flat_map(|process| &process.pools) {
                let full =
                    pool.classes().any(|(_, class)| class.limit.is_some() && class.limit == class.peak);
                for (name, class) in pool.classes() {
                    let peak = class.peak.unwrap_or(class.total);
                    assert!(class.current + class.cached <= peak, "{n}: {name} {class:?}");
                    assert!(class.limit.is_none_or(|limit| (1..=limit).contains(&peak)), "{n}: {name}");
                    assert!(class.denied == 0 || full, "{n}: {name} denied with room left");
                    assert!(class.allocations >= peak as u64, "{n}: {name}");
                }
                let [mbufs, packets, clusters] = [pool.mbufs, pool.packets, pool.clusters].map(|c| c.current);
                assert!(packets <= mbufs.min(clusters), "{n}: packets are among both");
            }
        }
    }

    #[test]
    fn a_process_that_writes_nothing_is_shown_as_stale_and_standing_still() {
        let mut app = at_work();
        let fresh = screen(&app, 96, 30);
        assert!(!fresh.contains("stale") && !fresh.contains("mbufs/s 0"), "{fresh}");
        let at = |seconds: u64| Look { at_ms: 1000 + 39 * 250 + seconds * 1000, ..moment(39) };
        app.update(at(1));
        assert_eq!(screen(&app, 96, 30).lines().nth(3), fresh.lines().nth(3), "that is a little late");
        app.update(at(12));
        let stale = screen(&app, 96, 30);
        let row = stale.lines().find(|line| line.contains(" rx ")).unwrap();
        let cells: Vec<_> = row.trim_end_matches('│').split_whitespace().collect();
        assert_eq!(cells[cells.len() - 4..], ["stale", "12", "s", "0"], "{stale}");
        assert!(stale.contains("mbufs/s 0, stale 12 s"), "{stale}");
        // It goes on.
        app.update(Look { at_ms: 1000 + 60 * 250, ..moment(60) });
        assert!(!screen(&app, 96, 30).contains("stale"));
    }

    #[test]
    fn keys_select_and_order_and_what_is_gone_is_forgotten() {
        let mut app = at_work();
        let selected = |app: &App| app.selected().map(|((pid, at), _)| (pid, at));
        assert_eq!(selected(&app), Some((4711, 0)));
        app.select(1);
        assert_eq!(selected(&app), Some((4711, 1)));
        app.select(9);
        assert_eq!(selected(&app), Some((4805, 0)));
        app.select(-9);
        app.select(1);
        for expected in ["memory in use", "mbufs/s", "denied/s", "process"] {
            app.sort_next();
            assert_eq!(app.sort.name(), expected);
            assert_eq!(app.order().len(), 3);
            assert_eq!(selected(&app), Some((4711, 1)), "the selection stays with its pool");
        }
        app.sort_next();
        assert_eq!(app.order().first().map(|(key, _)| *key), Some((4711, 0)), "most memory first");
        // The selected process goes, another comes.
        app.update(look([process(9, "new", 5, json!([{ "name": "n" }]))]));
        assert_eq!(selected(&app), Some((9, 0)));
        app.update(look([]));
        assert_eq!(selected(&app), None);
        app.select(1);
        assert!(screen(&app, 80, 24).contains("no process publishes pools"));
        app.update(moment(0));
        assert_eq!(selected(&app), Some((4711, 0)));
    }

    #[test]
    fn a_small_screen_has_room_for_pools() {
        for (width, height) in [(40, 8), (40, 6), (64, 8), (63, 24), (96, 17)] {
            let screen = screen(&at_work(), width, height);
            let row = screen.lines().find(|line| line.contains("4711")).expect(&screen);
            for figure in ["rx", "2360K", "20320"] {
                assert!(row.contains(figure), "{width}x{height}: {figure} is not in\n{screen}");
            }
            assert_eq!(screen.contains("classes of rx"), height > 8 + 9, "{screen}");
        }
    }

    #[test]
    fn any_size_and_any_figures_can_be_shown() {
        let app = at_work();
        for (width, height) in [(1, 1), (2, 40), (10, 5), (40, 12), (300, 100)] {
            screen(&app, width, height);
        }
        let huge = json!({ "size": usize::MAX, "current": usize::MAX, "cached": usize::MAX, "limit": 1, "peak": 0,
                           "allocations": u64::MAX, "denied": u64::MAX });
        let name = "\u{1b}[2Jevil\n".repeat(50);
        let mut app = App::default();
        for n in 0..3 {
            let pool = json!({ "name": name, "mbufs": huge, "clusters": huge });
            app.update(look([process(u32::MAX, &name, n, json!([pool]))]));
            let screen = screen(&app, 80, 24);
            assert!(!screen.contains('\u{1b}') && screen.contains(&"█".repeat(BAR)), "{screen}");
        }
        app.trouble.push("page\u{7}".into());
        assert!(screen(&app, 80, 24).contains("page?"));
    }
}
