//! Where futures are while somebody waits for them: in memory that is used again. A client that is idle has none of it, and the allocator of
//! musl would map it anew for each request.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// Free ones that are kept.
const KEPT: usize = 128;

type Slot<F> = Pin<Box<Option<F>>>;

/// Slots for the futures that `make` makes.
#[derive(Debug)]
pub(crate) struct Slots<A, F> {
    make: fn(A) -> F,
    free: RefCell<Vec<Slot<F>>>,
}

/// A future in its slot.
#[derive(Debug)]
pub(crate) struct Running<A, F> {
    slots: Rc<Slots<A, F>>,
    /// Empty once the future has ended.
    slot: Option<Slot<F>>,
}

impl<A, F: Future> Slots<A, F> {
    pub(crate) fn new(make: fn(A) -> F) -> Self {
        Self {
            make,
            free: RefCell::default(),
        }
    }

    /// The future of these arguments.
    pub(crate) fn run(self: &Rc<Self>, arguments: A) -> Running<A, F> {
        let mut slot = self.free.borrow_mut().pop().unwrap_or_else(|| Box::pin(None));
        slot.set(Some((self.make)(arguments)));
        Running {
            slots: Rc::clone(self),
            slot: Some(slot),
        }
    }
}

impl<A, F> Running<A, F> {
    fn leave(&mut self) {
        if let Some(mut slot) = self.slot.take() {
            slot.set(None);
            let mut free = self.slots.free.borrow_mut();
            if free.len() < KEPT {
                free.push(slot);
            }
        }
    }
}

impl<A, F: Future> Future for Running<A, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.slot.as_mut().and_then(|slot| slot.as_mut().as_pin_mut());
        let Some(future) = future else {
            unreachable!("polled after its end");
        };
        let result = future.poll(context);
        if result.is_ready() {
            self.leave();
        }
        result
    }
}

impl<A, F> Drop for Running<A, F> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn double(number: Rc<u32>) -> u32 {
        tokio::task::yield_now().await;
        *number * 2
    }

    #[tokio::test]
    async fn a_slot_is_used_again_and_holds_nothing_in_between() {
        let slots = Rc::new(Slots::new(double));
        let number = Rc::new(21);
        for _ in 0..3 {
            assert_eq!(slots.run(Rc::clone(&number)).await, 42);
            drop(slots.run(Rc::clone(&number)));
        }
        assert_eq!(slots.free.borrow().len(), 1);
        assert_eq!(Rc::strong_count(&number), 1);
    }

    #[tokio::test]
    async fn futures_at_the_same_time_have_slots_of_their_own() {
        let slots = Rc::new(Slots::new(double));
        let (one, two) = (slots.run(Rc::new(1)), slots.run(Rc::new(2)));
        assert_eq!((two.await, one.await), (4, 2));
        assert_eq!(slots.free.borrow().len(), 2);
    }
}
