//! Looks after one service: waits for others, starts it, hears of its end, starts it again.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::service::Condition;
use tidegate_provider_machine::exit;
use tidegate_provider_machine::logs::{LogFile, Origin};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use super::base::Base;
use super::container::{self, Running};
use super::restart::Pauses;
use super::status::{Report, ServiceState, ServiceStatus};
use super::{Definition, health};
use crate::clock;
use crate::events::{Ending, Exit};

/// Looks after one service.
pub(super) struct Keeper {
    pub(super) base: Arc<Base>,
    pub(super) definition: Definition,
    /// Others that must come first.
    pub(super) waits: Vec<Wait>,
    pub(super) report: Report,
    /// Whether its container is there.
    pub(super) recorded: bool,
    pub(super) pauses: Pauses,
}

/// Another service that must come first.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) name: String,
    pub(super) condition: Condition,
    pub(super) status: watch::Receiver<ServiceStatus>,
}

/// What a keeper is told.
#[derive(Copy, Clone, Debug, Default)]
struct Orders {
    /// To leave its service as it is.
    leave: bool,
    /// To end its service.
    stop: bool,
    /// Counts wishes for a new start.
    restarts: u64,
}

/// A keeper at work.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) definition: Definition,
    pub(super) status: watch::Receiver<ServiceStatus>,
    orders: watch::Sender<Orders>,
    task: JoinHandle<()>,
}

/// What came after a program ran.
enum After {
    /// It is left as it is, or has ended for good, as was told.
    Done,
    /// It ended because a new start was asked for.
    Again,
    /// It ended by itself, or could not be started: with this code, so long after its start.
    Ended { code: Option<u32>, why: String, lasted: Option<Duration> },
}

impl Handle {
    /// Whether its service is looked after, and does not wait for others any more.
    pub(super) fn is_at_work(&self) -> bool {
        !self.task.is_finished() && self.status.borrow().state != ServiceState::Waiting
    }

    pub(super) fn restart(&self) {
        self.orders.send_modify(|orders| orders.restarts += 1);
    }

    /// Ends the service.
    pub(super) async fn stop(self) {
        self.orders.send_modify(|orders| orders.stop = true);
        self.over().await;
    }

    /// Leaves the service to run.
    pub(super) async fn leave(self) {
        self.orders.send_modify(|orders| orders.leave = true);
        self.over().await;
    }

    async fn over(self) {
        if let Err(stopped) = self.task.await {
            warn!(service = self.definition.service.name, "{stopped}");
        }
    }
}

impl Keeper {
    /// Goes to work; `running` is the service's program, if that runs already.
    pub(super) fn spawn(self, running: Option<Running>) -> Handle {
        let (orders, told) = watch::channel(Orders::default());
        let (definition, status) = (self.definition.clone(), self.report.subscribe());
        let tasks = self.base.tasks.clone();
        let task = tasks.spawn(self.run(running, Told { orders: told, restarts: 0 }));
        Handle { definition, status, orders, task }
    }

    async fn run(mut self, mut running: Option<Running>, mut told: Told) {
        if running.is_none() && !self.others_came(&mut told).await {
            return;
        }
        loop {
            let after = match running.take() {
                Some(running) => self.watch(running, &mut told).await,
                None => self.start(&mut told).await,
            };
            let again = match after {
                After::Done => false,
                After::Again => true,
                After::Ended { code, why, lasted } => self.rest(code, why, lasted, &mut told).await,
            };
            if !again {
                return;
            }
            self.report.change(|status| status.restarts += 1);
        }
    }

    /// False when told to end before.
    async fn others_came(&mut self, told: &mut Told) -> bool {
        for mut wait in std::mem::take(&mut self.waits) {
            let detail = format!("waits for {}", wait.name);
            if !wait.status.borrow().meets(wait.condition) {
                self.report.change(|status| status.detail = detail);
            }
            let met = async {
                if wait.status.wait_for(|status| status.meets(wait.condition)).await.is_err() {
                    // It is not looked after any more, and so are we soon.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = told.end() => return false,
                () = met => {}
            }
        }
        true
    }

    async fn start(&mut self, told: &mut Told) -> After {
        self.report.change(|status| {
            status.state = ServiceState::Starting;
            status.detail.clear();
            status.healthy = None;
        });
        tokio::select! {
            biased;
            () = told.end() => return After::Done,
            () = self.base.board.back() => {}
        }
        // Never dropped in the middle: containerd goes on with what it was asked for.
        match container::start(&self.base, &self.definition, &mut self.recorded).await {
            Ok(running) => self.watch(running, told).await,
            Err(failure) => {
                let why = format!("cannot be started: {failure}");
                After::Ended { code: None, why, lasted: None }
            }
        }
    }

    async fn watch(&mut self, running: Running, told: &mut Told) -> After {
        let Running { mut ending, network } = running;
        let (name, address) = (&self.definition.service.name, network.address);
        if let Err(failure) = self.base.names.tell(name, Some(address)).await {
            warn!(service = name, "{failure}");
        }
        self.report.change(|status| {
            status.state = ServiceState::Running;
            status.address = Some(address);
            status.detail.clear();
        });
        let began = clock::running();
        let health = health::watch(&self.base, &self.definition, &self.report);
        tokio::pin!(health);
        let exit = tokio::select! {
            biased;
            () = told.end() => {
                if told.is_stopped() {
                    self.stop(&mut ending).await;
                }
                return After::Done;
            }
            () = told.restart() => {
                told.grant();
                self.report.change(|status| {
                    status.state = ServiceState::Restarting;
                    "as was asked for".clone_into(&mut status.detail);
                });
                self.stop(&mut ending).await;
                return After::Again;
            }
            exit = ending.exit() => exit,
            () = &mut health => unreachable!("it goes on for ever"),
        };
        container::end_task(&self.base, &self.base.id(name)).await;
        let code = match exit {
            Exit::Status(code) => Some(code),
            Exit::Lost => None,
        };
        let why = self.words(&ending, &exit);
        After::Ended { code, why, lasted: Some(began.elapsed()) }
    }

    fn words(&self, ending: &Ending, ended: &Exit) -> String {
        let limit = self.definition.service.memory.map(|bytes| format!("{} MiB", bytes >> 20));
        match ending.memory_kills() {
            0 => ended.cause().why,
            kills => {
                let limit = limit.as_deref().unwrap_or("the machine");
                let told = exit::out_of_memory(kills.into(), limit);
                ended.cause().after_memory_kills(&told).why
            }
        }
    }

    async fn stop(&self, ending: &mut Ending) {
        container::stop(&self.base, &self.definition, ending).await;
    }

    /// After an end that nobody asked for. Returns whether the service is to be started again.
    async fn rest(
        &mut self,
        code: Option<u32>,
        why: String,
        lasted: Option<Duration>,
        told: &mut Told,
    ) -> bool {
        let good = code == Some(0);
        let pause = self.pauses.after(good, lasted);
        let state = if pause.is_some() { ServiceState::Restarting } else { ServiceState::Exited };
        self.note(&why, good && pause.is_none()).await;
        if pause.is_none() {
            let name = &self.definition.service.name;
            if let Err(failure) = self.base.names.tell(name, None).await {
                warn!(service = name, "{failure}");
            }
        }
        self.report.change(|status| {
            status.state = state;
            if pause.is_none() {
                status.address = None;
            }
            status.code = code;
            status.healthy = None;
            status.detail.clone_from(&why);
        });
        let Some(pause) = pause else { return told.restart_or_end().await };
        tokio::select! {
            biased;
            () = told.end() => false,
            () = told.restart() => {
                told.grant();
                true
            }
            () = sleep(pause) => true,
        }
    }

    /// In our log and in the service's own.
    async fn note(&self, why: &str, is_fine: bool) {
        let name = &self.definition.service.name;
        if is_fine {
            info!(service = name, "{why}");
        } else {
            warn!(service = name, "{why}");
        }
        let (path, line) = (self.base.log(name), Origin::Provider.line(clock::wall(), why));
        let write = move || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                tidegate_provider_machine::durable::make_folder(folder)?;
            }
            LogFile::open(&path, u64::MAX)?.write(line.as_bytes());
            Ok(())
        };
        // As with a full disk: a line is lost.
        let _ = tokio::task::spawn_blocking(write).await;
    }
}

/// What was ordered.
struct Told {
    orders: watch::Receiver<Orders>,
    /// Wishes that were granted.
    restarts: u64,
}

impl Told {
    fn is_stopped(&self) -> bool {
        self.orders.borrow().stop
    }

    /// A wish for a new start is being granted, and all before it.
    fn grant(&mut self) {
        self.restarts = self.orders.borrow().restarts;
    }

    /// Waits until it is over. A handle that was dropped leaves, too.
    async fn end(&self) {
        let mut orders = self.orders.clone();
        let _ = orders.wait_for(|orders| orders.leave || orders.stop).await;
    }

    /// Waits until a new start is wished for.
    async fn restart(&self) {
        let mut orders = self.orders.clone();
        if orders.wait_for(|orders| orders.restarts > self.restarts).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for either; true for a new start.
    async fn restart_or_end(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.end() => return false,
            () = self.restart() => {}
        }
        self.grant();
        true
    }
}
