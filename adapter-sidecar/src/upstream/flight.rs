//! One request to a target at a time: whoever asks meanwhile shares its answer. Nothing outlives the answer, so nothing is cached.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::OnceCell;

/// The request under way, if there is one.
#[derive(Debug)]
pub(crate) struct Flight<T>(RefCell<Option<Rc<OnceCell<T>>>>);

impl<T: Clone> Flight<T> {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Joins the request under way, or starts `ask`. Should the one who asks leave, another one asks anew in its place.
    pub(crate) async fn join<F: Future<Output = T>>(&self, ask: impl FnOnce() -> F) -> T {
        let cell = Rc::clone(self.0.borrow_mut().get_or_insert_default());
        let answer = cell.get_or_init(ask).await.clone();
        let mut current = self.0.borrow_mut();
        if current.as_ref().is_some_and(|now| Rc::ptr_eq(now, &cell)) {
            *current = None;
        }
        answer
    }
}
