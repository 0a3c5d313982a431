//! The terminal as a screen: taken over when opened, given back when dropped, also by a panic.
//!
//! Drawn on stderr, so that stdout stays data. Keys are not read: the terminal keeps making Ctrl-C a
//! signal and only stops echoing.

use std::fs::File;
use std::io::{self, IsTerminal as _, Stderr};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr,
    tcsetattr,
};

use super::{View, screen};

/// What the terminal was like before; gone once given back.
type Before = Arc<Mutex<Option<(File, Termios)>>>;

/// A terminal taken over.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    before: Before,
    colour: bool,
}

impl Screen {
    /// Takes over the terminal behind stderr.
    ///
    /// # Errors
    /// When it cannot be drawn on.
    pub fn open(colour: bool) -> io::Result<Self> {
        let before: Before = Arc::new(Mutex::new(quieted()));
        give_back_on_panic(&before);
        // Cleared by hand: ratatui would ask the terminal where its cursor is, and read keys for the answer.
        let taken = execute!(io::stderr(), EnterAlternateScreen, Hide, Clear(ClearType::All));
        match taken.and_then(|()| Terminal::new(CrosstermBackend::new(io::stderr()))) {
            Ok(terminal) => Ok(Self { terminal, before, colour }),
            Err(error) => {
                give_back(&before);
                Err(error)
            }
        }
    }

    /// Whether there is a terminal to draw on.
    #[must_use]
    pub fn is_there() -> bool {
        io::stderr().is_terminal()
    }

    /// Shows a view; follows changes of size.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, view: &View) -> io::Result<()> {
        let colour = self.colour;
        self.terminal.draw(|frame| screen::draw(frame, view, colour)).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back(&self.before);
    }
}

/// Stops echo and line editing, which would draw into the picture, and Ctrl-Z, which would leave it behind.
fn quieted() -> Option<(File, Termios)> {
    let terminal = File::open("/dev/tty").ok()?;
    let before = tcgetattr(&terminal).ok()?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
    quiet.special_codes[SpecialCodeIndex::VSUSP] = 0;
    tcsetattr(&terminal, OptionalActions::Now, &quiet).ok()?;
    Some((terminal, before))
}

/// Once; what fails here can be mended by nobody.
fn give_back(before: &Before) {
    let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
    let taken = before.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((terminal, before)) = taken {
        let _ = tcflush(terminal.as_fd(), QueueSelector::IFlush);
        let _ = tcsetattr(&terminal, OptionalActions::Now, &before);
    }
}

/// A panic's message must not vanish with the picture.
fn give_back_on_panic(before: &Before) {
    let before = Arc::clone(before);
    let then = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if before.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            give_back(&before);
        }
        then(panic);
    }));
}
