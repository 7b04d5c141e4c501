//! `mbufctl top`: pools, their classes and their history, on the whole screen.

mod app;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Instant;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::look;
use crate::args::TopArgs;
use crate::complain;
use app::App;

pub(crate) fn run(args: &TopArgs) -> ExitCode {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        complain("top needs a terminal; `mbufctl stat --watch` does without");
        return ExitCode::FAILURE;
    }
    match show(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn show(args: &TopArgs) -> Result<(), String> {
    let directory = args.directory.as_deref();
    // What is wrong with it is better said before the screen is taken.
    look(directory).map_err(|error| error.to_string())?;
    let mut terminal = ratatui::try_init().map_err(|error| format!("cannot use the terminal: {error}"))?;
    let mut app = App::default();
    let mut next = Instant::now();
    let outcome = loop {
        if Instant::now() >= next {
            match look(directory) {
                Ok(look) => app.update(look),
                Err(error) => break Err(error.to_string()),
            }
            next = Instant::now() + args.interval;
        }
        let seen = terminal.draw(|frame| view::draw(frame, &app)).map(drop);
        let key = seen.and_then(|()| event::poll(next.saturating_duration_since(Instant::now())));
        match key.and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) }) {
            Ok(Some(Event::Key(key))) if key.kind != KeyEventKind::Release => {
                if !press(&mut app, key) {
                    break Ok(());
                }
            }
            Ok(_) => {}
            Err(error) => break Err(format!("cannot use the terminal: {error}")),
        }
    };
    ratatui::restore();
    outcome
}

/// Does what a key says; false if that is to end.
fn press(app: &mut App, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return false,
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
        KeyCode::Up | KeyCode::Char('k') => app.select(-1),
        KeyCode::Down | KeyCode::Char('j') => app.select(1),
        KeyCode::Char('s') => app.sort_next(),
        _ => {}
    }
    true
}
