//! Questions that many ask at the same time, asked together: while one is under way, those that come wait, and the next
//! is about all of them. Nobody waits for company: who comes alone asks alone.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Mutex as Turns, oneshot};

/// Gathers questions of one kind. Nothing is begun in the background: if nobody waits for an answer any more, nothing is
/// asked.
pub(super) struct Together<Q, A> {
    waiting: Mutex<Vec<(Q, oneshot::Sender<A>)>>,
    turn: Turns<()>,
}

impl<Q, A> Default for Together<Q, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Turns::default() }
    }
}

impl<Q, A> Together<Q, A> {
    /// Asks a question, with those that others ask meanwhile: `all` gets them in the order in which they came, and
    /// answers each in that order. `None`: whoever asked for everybody was dropped on the way, or left this one out; the
    /// question may have been asked all the same.
    pub(super) async fn ask<F: Future<Output = Vec<A>>>(
        &self,
        question: Q,
        all: impl FnOnce(Vec<Q>) -> F,
    ) -> Option<A> {
        let (answer, mut heard) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((question, answer));
        let turn = tokio::select! {
            biased;
            answer = &mut heard => return answer.ok(),
            turn = self.turn.lock() => turn,
        };
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let (questions, hearers): (Vec<Q>, Vec<oneshot::Sender<A>>) = waiting.into_iter().unzip();
        if !questions.is_empty() {
            for (hearer, answer) in hearers.into_iter().zip(all(questions).await) {
                // Who does not wait any more needs no answer.
                let _ = hearer.send(answer);
            }
        }
        drop(turn);
        heard.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::Together;

    #[tokio::test(start_paused = true)]
    async fn those_that_come_while_a_question_is_under_way_are_asked_at_once() {
        let (together, asked) = (Together::<u32, u32>::default(), Mutex::new(Vec::new()));
        let ask = |number: u32| {
            let (together, asked) = (&together, &asked);
            async move {
                tokio::time::sleep(Duration::from_millis(u64::from(number))).await;
                let all = |questions: Vec<u32>| async move {
                    asked.lock().unwrap().push(questions.clone());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    questions.into_iter().map(|question| question * 2).collect()
                };
                together.ask(number, all).await
            }
        };
        let answers = join_all((1..=10).map(ask)).await;
        assert_eq!(answers, (1..=10).map(|number| Some(number * 2)).collect::<Vec<_>>());
        assert_eq!(*asked.lock().unwrap(), [vec![1], (2..=10).collect()]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_all_and_is_dropped_leaves_nobody_waiting() {
        let together = Together::<u32, u32>::default();
        let never = |_| std::future::pending::<Vec<u32>>();
        let first = async { tokio::time::timeout(Duration::from_millis(10), together.ask(1, never)).await.ok() };
        let second = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            together.ask(2, async |questions: Vec<u32>| questions).await
        };
        assert_eq!(tokio::join!(first, second), (None, Some(2)));
    }

    #[tokio::test]
    async fn a_question_that_is_left_out_has_no_answer() {
        assert_eq!(Together::<u32, u32>::default().ask(1, async |_| Vec::new()).await, None);
    }
}
