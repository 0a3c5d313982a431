//! What to do next with a function's replicas: a pure comparison of what is with what was asked.
//!
//! Called after every change, so that each step may be small. While a new revision is rolled out the old
//! one serves what the new one does not yet; a revision that fails takes nothing from the old one.

use tidegate_provider::Phase;

/// A function's replicas as the plan sees them, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The count that was asked for.
    pub(crate) desired: usize,
    /// At zero: how many replicas are kept frozen.
    pub(crate) keep_frozen: usize,
    /// At zero: how many replicas are kept created, their programs not started.
    pub(crate) keep_created: usize,
    /// Whether an older revision still serves.
    pub(crate) rolling: bool,
    /// The replicas.
    pub(crate) replicas: Vec<Seen>,
}

/// One replica.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What it does.
    pub(crate) phase: Phase,
    /// Whether it is of the current revision.
    pub(crate) current: bool,
    /// Whether it crashed and has not been ready since.
    pub(crate) failing: bool,
}

/// Steps to take; replicas by their index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) end: Vec<usize>,
    pub(crate) freeze: Vec<usize>,
    pub(crate) thaw: Vec<usize>,
    /// Created ones whose programs are to be started.
    pub(crate) wake: Vec<usize>,
    /// How many replicas of the current revision to make without starting their programs.
    pub(crate) create: usize,
    /// How many replicas of the current revision to start.
    pub(crate) start: usize,
    /// How many replicas of the revision before it to start, since the current one fails.
    pub(crate) start_previous: usize,
    /// The current revision serves alone from now on.
    pub(crate) settled: bool,
}

impl Seen {
    /// Whether it is, or will be, one of the count that was asked for.
    fn counts(self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Ready | Phase::Backoff)
    }

    /// Whether it is there for later.
    fn rests(self) -> bool {
        matches!(self.phase, Phase::Frozen | Phase::Created)
    }
}

/// The steps from `view` towards what was asked.
pub(crate) fn plan(view: &View) -> Plan {
    if view.desired == 0 { to_zero(view) } else { to_count(view) }
}

fn to_zero(view: &View) -> Plan {
    let mut plan = Plan { settled: view.rolling, ..Plan::default() };
    let mut kept = 0;
    // What is frozen already comes first; what still starts is frozen when it is ready.
    for phase in [Phase::Frozen, Phase::Ready, Phase::Starting] {
        for index in view.of(|seen| seen.current && seen.phase == phase) {
            if kept == view.keep_frozen {
                plan.end.push(index);
                continue;
            }
            kept += 1;
            if phase == Phase::Ready {
                plan.freeze.push(index);
            }
        }
    }
    let created: Vec<usize> = view.resting(Phase::Created).collect();
    plan.create = view.keep_created.saturating_sub(created.len());
    plan.end.extend(created.into_iter().skip(view.keep_created));
    let rest = |seen: &Seen| !seen.current && seen.phase != Phase::Stopping;
    plan.end.extend(view.of(|seen| rest(seen) || seen.phase == Phase::Backoff && seen.current));
    plan.end.sort_unstable();
    plan
}

fn to_count(view: &View) -> Plan {
    let mut plan = Plan::default();
    let ready = view.of(|seen| seen.current && seen.phase == Phase::Ready).count();
    plan.settled = view.rolling && ready >= view.desired;
    let rolling = view.rolling && !plan.settled;

    // A roll-out takes a quarter more room than the function itself, not twice as much.
    let surge = view.desired.div_ceil(4);
    let wanted = if rolling { view.desired.min(ready + surge) } else { view.desired };
    let live: Vec<usize> = view.of(|seen| seen.current && seen.counts()).collect();
    let missing = wanted.saturating_sub(live.len());
    let (thaw, warm) = split(view.resting(Phase::Frozen), missing);
    let (wake, made) = split(view.resting(Phase::Created), missing - thaw.len());
    plan.start = missing - thaw.len() - wake.len();
    (plan.thaw, plan.wake) = (thaw, wake);
    plan.end.extend(warm.into_iter().chain(made));
    plan.end.extend(surplus(view, live, wanted));

    let old: Vec<usize> = view.of(|seen| !seen.current && seen.counts()).collect();
    let keep = if rolling { view.desired - ready } else { 0 };
    let failing = view.replicas.iter().any(|seen| seen.current && seen.failing);
    if failing {
        plan.start_previous = keep.saturating_sub(old.len());
    }
    plan.end.extend(surplus(view, old, keep));
    plan.end.extend(view.of(|seen| !seen.current && seen.rests()));
    plan.end.sort_unstable();
    plan
}

/// The first `most` of them, and the rest.
fn split(all: impl Iterator<Item = usize>, most: usize) -> (Vec<usize>, Vec<usize>) {
    let mut first: Vec<usize> = all.collect();
    let rest = first.split_off(most.min(first.len()));
    (first, rest)
}

/// Those of `live` that go so that `wanted` stay: those not ready first, then the newest.
fn surplus(view: &View, mut live: Vec<usize>, wanted: usize) -> Vec<usize> {
    live.sort_by_key(|index| {
        (view.replicas[*index].phase == Phase::Ready, std::cmp::Reverse(*index))
    });
    live.truncate(live.len().saturating_sub(wanted));
    live
}

impl View {
    /// Replicas of the current revision that rest so.
    fn resting(&self, phase: Phase) -> impl Iterator<Item = usize> + '_ {
        self.of(move |seen| seen.current && seen.phase == phase)
    }

    fn of<'a>(&'a self, fits: impl Fn(&Seen) -> bool + 'a) -> impl Iterator<Item = usize> + 'a {
        self.replicas.iter().enumerate().filter(move |(_, seen)| fits(seen)).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NEW: bool = true;
    const OLD: bool = false;

    fn seen(phase: Phase, current: bool) -> Seen {
        Seen { phase, current, failing: phase == Phase::Backoff }
    }

    fn view(desired: usize, replicas: &[(Phase, bool)]) -> View {
        let rolling = replicas.iter().any(|(_, current)| !current);
        let replicas = replicas.iter().map(|(phase, current)| seen(*phase, *current)).collect();
        View { desired, keep_frozen: 0, keep_created: 0, rolling, replicas }
    }

    #[test]
    fn what_is_missing_is_started() {
        assert_eq!(plan(&view(3, &[(Phase::Ready, NEW)])).start, 2);
    }

    #[test]
    fn too_many_end_those_not_ready_first_then_the_newest() {
        let many =
            [(Phase::Ready, NEW), (Phase::Starting, NEW), (Phase::Ready, NEW), (Phase::Ready, NEW)];
        assert_eq!(plan(&view(2, &many)).end, [1, 3]);
    }

    #[test]
    fn frozen_ones_thaw_before_new_ones_start() {
        let plan = plan(&view(3, &[(Phase::Frozen, NEW), (Phase::Frozen, NEW)]));
        assert_eq!((plan.thaw, plan.start, plan.end), (vec![0, 1], 1, vec![]));
    }

    #[test]
    fn at_zero_ready_ones_freeze_and_the_rest_ends() {
        let mut view = view(
            0,
            &[
                (Phase::Starting, NEW),
                (Phase::Ready, NEW),
                (Phase::Backoff, NEW),
                (Phase::Ready, NEW),
            ],
        );
        view.keep_frozen = 1;
        let plan = plan(&view);
        assert_eq!((plan.freeze, plan.end), (vec![1], vec![0, 2, 3]));
    }

    #[test]
    fn created_ones_start_after_frozen_ones_thawed_and_before_new_ones_are_made() {
        let three = [(Phase::Created, NEW), (Phase::Frozen, NEW), (Phase::Created, NEW)];
        let steps = plan(&view(2, &three));
        assert_eq!((steps.thaw, steps.wake, steps.end), (vec![1], vec![0], vec![2]));
        let steps = plan(&view(4, &three));
        assert_eq!((steps.thaw, steps.wake, steps.start), (vec![1], vec![0, 2], 1));
        let steps = plan(&view(1, &[(Phase::Created, OLD), (Phase::Ready, NEW)]));
        assert_eq!((steps.wake, steps.end), (vec![], vec![0]));
    }

    #[test]
    fn at_created_zero_what_runs_or_is_frozen_ends_and_one_is_made() {
        let mut view = view(0, &[(Phase::Ready, NEW), (Phase::Frozen, NEW), (Phase::Created, OLD)]);
        view.keep_created = 1;
        let steps = plan(&view);
        assert_eq!((steps.create, steps.end, steps.freeze), (1, vec![0, 1, 2], vec![]));
        view.replicas = vec![seen(Phase::Stopping, NEW), seen(Phase::Created, NEW)];
        assert_eq!(plan(&view), Plan { settled: true, ..Plan::default() });
        view.keep_created = 0;
        assert_eq!(plan(&view).end, [1]);
    }

    #[test]
    fn an_old_revision_serves_until_the_new_one_is_ready() {
        let steps = plan(&view(1, &[(Phase::Ready, OLD)]));
        assert_eq!((steps.start, steps.end.len(), steps.settled), (1, 0, false));
        let steps = plan(&view(1, &[(Phase::Ready, OLD), (Phase::Starting, NEW)]));
        assert_eq!(steps, Plan::default());
        let steps = plan(&view(1, &[(Phase::Ready, OLD), (Phase::Ready, NEW)]));
        assert_eq!((steps.end, steps.settled), (vec![0], true));
    }

    #[test]
    fn a_failing_revision_lets_the_old_one_grow() {
        let steps = plan(&view(4, &[(Phase::Ready, OLD), (Phase::Backoff, NEW)]));
        assert_eq!((steps.start, steps.start_previous), (0, 3));
        assert!(steps.end.is_empty());
    }

    fn phases() -> impl Strategy<Value = Phase> {
        prop::sample::select(vec![
            Phase::Starting,
            Phase::Ready,
            Phase::Backoff,
            Phase::Stopping,
            Phase::Frozen,
            Phase::Created,
        ])
    }

    proptest! {
        #[test]
        fn plans_are_possible_and_take_no_ready_replica_below_the_count(
            desired in 0_usize..8, keep_frozen in 0_usize..3, keep_created in 0_usize..3,
            replicas in prop::collection::vec((phases(), any::<bool>()), 0..12),
        ) {
            let mut view = view(desired, &replicas);
            view.keep_frozen = keep_frozen;
            view.keep_created = keep_created;
            let steps = plan(&view);
            for index in steps.end.iter().chain(&steps.freeze).chain(&steps.thaw).chain(&steps.wake) {
                prop_assert!(view.replicas[*index].phase != Phase::Stopping);
            }
            let mut once = steps.end.clone();
            once.dedup();
            prop_assert_eq!(&once, &steps.end);
            let mut used = steps.thaw.iter().chain(&steps.freeze).chain(&steps.wake);
            prop_assert!(used.all(|index| !steps.end.contains(index)));
            let created = |seen: &Seen| seen.phase == Phase::Created;
            prop_assert!(steps.wake.iter().all(|index| created(&view.replicas[*index])));
            let ready = view.of(|seen| seen.phase == Phase::Ready).count();
            let left = view.of(|seen| seen.phase == Phase::Ready).filter(|i| !steps.end.contains(i)).count();
            if desired > 0 {
                prop_assert!(left >= ready.min(desired), "{steps:?}");
                prop_assert_eq!(steps.create, 0);
            } else {
                let stay = view.resting(Phase::Created).filter(|i| !steps.end.contains(i)).count();
                prop_assert_eq!(stay + steps.create, keep_created);
                prop_assert_eq!((steps.start, steps.wake.len()), (0, 0));
            }
        }
    }
}
