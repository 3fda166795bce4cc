//! One write for what several requests have to say.

use std::task::{Context, Poll};

/// Lets all others go first who can go on when a connection can: what they have to send goes out together then.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// It has let them.
    has_waited: bool,
}

impl Batch {
    /// Polls the connection when it is its turn.
    pub(super) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        connection: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.has_waited {
            self.has_waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = connection(context);
        self.has_waited = polled.is_ready();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::rc::Rc;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn others_go_first_and_then_all_that_is_ready() {
        let (said, tasks) = (Rc::new(RefCell::new(Vec::new())), LocalSet::new());
        let own = Rc::clone(&said);
        let own = tasks.spawn_local(async move {
            let mut batch = Batch::default();
            for _ in 0..3 {
                let say = |_: &mut Context<'_>| {
                    own.borrow_mut().push("own");
                    Poll::Ready(())
                };
                poll_fn(|context| batch.poll(context, say)).await;
            }
        });
        for _ in 0..2 {
            let said = Rc::clone(&said);
            tasks.spawn_local(async move { said.borrow_mut().push("other") });
        }
        tasks.run_until(own).await.unwrap();
        assert_eq!(*said.borrow(), ["other", "other", "own", "own", "own"]);
    }
}
