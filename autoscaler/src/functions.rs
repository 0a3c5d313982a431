//! Where functions are kept: each in a numbered place, found by its number without a search, or by its name.
//!
//! ```text
//! name ──► places ──► Handle { place, turn } ──► slots[place], if the turn is still its
//! ```

use std::collections::HashMap;

use tidegate_core::FunctionId;

use crate::function::Function;

/// Where a function is kept. Whoever decides often on one keeps this, which is quicker than its name. Of no
/// use once the function was removed: another one in its place has another handle.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    place: u32,
    /// How often the place was given away before.
    turn: u32,
}

/// All functions.
#[derive(Debug, Default)]
pub struct Functions {
    places: HashMap<FunctionId, Handle>,
    slots: Vec<Slot>,
    /// Places that are free again.
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    function: Option<Box<Function>>,
    turn: u32,
}

impl Functions {
    /// Where the function of this name is kept.
    pub fn find(&self, name: &FunctionId) -> Option<Handle> {
        self.places.get(name).copied()
    }

    /// The function kept there; nothing when it was removed.
    pub fn at(&self, handle: Handle) -> Option<&Function> {
        let slot = self.slots.get(handle.place as usize)?;
        slot.function.as_deref().filter(|_| slot.turn == handle.turn)
    }

    /// The same, to change it.
    pub fn at_mut(&mut self, handle: Handle) -> Option<&mut Function> {
        let slot = self.slots.get_mut(handle.place as usize)?;
        slot.function.as_deref_mut().filter(|_| slot.turn == handle.turn)
    }

    /// The function of this name.
    pub fn get(&self, name: &FunctionId) -> Option<&Function> {
        self.at(self.find(name)?)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, name: &FunctionId) -> Option<&mut Function> {
        self.at_mut(self.find(name)?)
    }

    /// Keeps a new function; there is none of this name yet.
    pub fn insert(&mut self, name: FunctionId, function: Function) -> Handle {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { function: None, turn: 0 });
            u32::try_from(self.slots.len() - 1).expect("fewer functions than 2³²")
        });
        let slot = &mut self.slots[place as usize];
        slot.function = Some(Box::new(function));
        let handle = Handle { place, turn: slot.turn };
        self.places.insert(name, handle);
        handle
    }

    /// Forgets the function of this name.
    pub fn remove(&mut self, name: &FunctionId) {
        if let Some(Handle { place, .. }) = self.places.remove(name) {
            let slot = &mut self.slots[place as usize];
            slot.function = None;
            slot.turn = slot.turn.wrapping_add(1);
            self.free.push(place);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Function> {
        self.slots.iter().filter_map(|slot| slot.function.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::{Moment, Policy};

    #[test]
    fn a_place_is_given_away_again_and_the_earlier_handle_finds_nothing() {
        let (policy, _) = Policy::from_labels(&[].into()).expect("no labels are good labels");
        let new = || Function::new(Moment::ZERO, policy.clone(), None);
        let name = |text| FunctionId::parse(text).expect("a good name");
        let mut functions = Functions::default();
        let (one, two) = (functions.insert(name("a"), new()), functions.insert(name("b"), new()));
        functions.remove(&name("a"));
        assert!(functions.at(one).is_none() && functions.at_mut(two).is_some());
        let three = functions.insert(name("c"), new());
        assert!(functions.at(one).is_none(), "it is another function's place now");
        assert_eq!((functions.find(&name("c")), functions.len()), (Some(three), 2));
        assert_eq!((three.place, functions.slots.len()), (one.place, 2));
    }
}
