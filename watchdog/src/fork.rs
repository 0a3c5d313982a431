//! A process for one call: started, fed, read from, and ended with its whole group.
//!
//! Input and output are streams. Dropping a [`Running`] kills the group, which is what happens when
//! the client goes away or a limit strikes.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio_util::task::AbortOnDropHandle;

use crate::app::App;
use crate::deadline::Deadlines;
use crate::environment;
use crate::fault::{BodyFault, Fault};
use crate::fprocess::Fprocess;
use crate::group::Group;
use crate::lines::relay;
use crate::log::{Log, Stream};
use crate::request_body::RequestBody;

/// Bytes read from a process at once; also what its pipe holds.
const PIECE: usize = 64 * 1024;

/// Where a process's stderr goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Errors {
    /// Into the answer, in the order of writing.
    Answer,
    /// Into the log.
    Log,
}

/// A running process with its input and output.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Group>,
    output: pipe::Receiver,
    input: Option<AbortOnDropHandle<Result<(), BodyFault>>>,
    buffer: BytesMut,
    output_ended: bool,
    deadlines: Deadlines,
}

/// Variables of our own that a function must not take for its own.
pub const HIDDEN: [&str; 4] =
    ["TIDEGATE_LISTEN", "TIDEGATE_LOCAL", "TIDEGATE_CONTROL", "TIDEGATE_METRICS"];

/// A command in a process group of its own.
pub fn command(fprocess: &Fprocess) -> Command {
    let mut command = Command::new(&fprocess.program);
    command.args(&fprocess.arguments).process_group(0);
    for name in HIDDEN {
        command.env_remove(name);
    }
    command
}

impl Running {
    /// Starts `fprocess` for a request.
    pub fn start(
        app: &Arc<App>,
        fprocess: &Fprocess,
        parts: &request::Parts,
        body: RequestBody,
        errors: Errors,
        deadlines: Deadlines,
    ) -> Result<Self, Fault> {
        let mut command = command(fprocess);
        if app.config.forks.cgi_headers {
            command.envs(environment::variables(parts, app.config.mode)?);
        }
        let has_body = !body.is_end_stream();
        command.stdin(if has_body { Stdio::piped() } else { Stdio::null() });
        let started = start_with_output(app, command, errors);
        let (mut child, output) =
            started.map_err(|fault| Fault::spawn(&fprocess.program, fault))?;
        let group = app.groups.adopt(child.id());
        let input =
            child.stdin.take().map(|stdin| AbortOnDropHandle::new(tokio::spawn(feed(body, stdin))));
        let output = pipe::Receiver::from_owned_fd(output).map_err(Fault::Pipe)?;
        let buffer = BytesMut::new();
        Ok(Self { child, group, output, input, buffer, output_ended: false, deadlines })
    }

    /// The next piece of output; none after the last, when the process ended well.
    ///
    /// # Errors
    /// When the process failed, a limit struck, or the request body did not arrive.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        let deadlines = self.deadlines;
        deadlines.within(self.piece_or_end()).await?
    }

    async fn piece_or_end(&mut self) -> Result<Option<Bytes>, Fault> {
        while !self.output_ended {
            self.buffer.reserve(PIECE);
            tokio::select! {
                read = self.output.read_buf(&mut self.buffer) => {
                    if read.map_err(Fault::Pipe)? > 0 {
                        return Ok(Some(self.buffer.split().freeze()));
                    }
                    self.output_ended = true;
                }
                fed = finished(&mut self.input) => fed?,
            }
        }
        // Nobody reads the input of an ended process, but a client must be able to send it all.
        let (status, fed) = tokio::join!(self.child.wait(), finished_or_none(&mut self.input));
        fed?;
        let status: ExitStatus = status.map_err(Fault::Pipe)?;
        if let Some(group) = self.group.take() {
            group.release();
        }
        if status.success() { Ok(None) } else { Err(Fault::Exited(status)) }
    }
}

/// Waits for the input to end; for ever when there is none.
async fn finished(
    input: &mut Option<AbortOnDropHandle<Result<(), BodyFault>>>,
) -> Result<(), BodyFault> {
    if input.is_none() {
        return std::future::pending().await;
    }
    finished_or_none(input).await
}

async fn finished_or_none(
    input: &mut Option<AbortOnDropHandle<Result<(), BodyFault>>>,
) -> Result<(), BodyFault> {
    let Some(feeding) = input else { return Ok(()) };
    let fed = feeding.await;
    *input = None;
    // A feeder that was aborted has nothing to report.
    fed.unwrap_or(Ok(()))
}

fn start_with_output(
    app: &App,
    mut command: Command,
    errors: Errors,
) -> io::Result<(Child, OwnedFd)> {
    let (output, writer) = io::pipe()?;
    let mut errors_pipe = None;
    match errors {
        Errors::Answer => {
            command.stderr(writer.try_clone()?);
        }
        // Raw lines need nobody in between.
        Errors::Log if !app.config.lines.prefix => {
            command.stderr(Stdio::inherit());
        }
        Errors::Log => {
            let (reader, writer) = io::pipe()?;
            errors_pipe = Some(reader);
            command.stderr(writer);
        }
    }
    command.stdout(writer);
    let child = command.spawn()?;
    if let Some(reader) = errors_pipe {
        tokio::spawn(relay(reader.into(), Stream::Err, app.config.lines, Log::clone(&app.log)));
    }
    // The command, dropped here, holds our copies of the writing ends.
    Ok((child, output.into()))
}

/// Passes the body on to a process; what the process does not want is read all the same.
async fn feed(mut body: RequestBody, stdin: ChildStdin) -> Result<(), BodyFault> {
    let mut stdin = Some(stdin);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if let Some(open) = &mut stdin
            && open.write_all(&data).await.is_err()
        {
            stdin = None;
        }
    }
    Ok(())
}
