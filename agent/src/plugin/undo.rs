//! What an ADD has done so far, to be undone in reverse when a later step fails.

use std::cell::Cell;

use plexus_cni::CniError;

type Step<'a> = Box<dyn FnOnce() -> Result<(), CniError> + 'a>;

/// Steps that undo what was done.
#[derive(Default)]
pub(super) struct Undo<'a> {
    steps: Vec<Step<'a>>,
}

impl<'a> Undo<'a> {
    /// Remembers how to undo the step that was just done, or is about to be.
    pub(super) fn push(&mut self, step: impl FnOnce() -> Result<(), CniError> + 'a) {
        self.steps.push(Box::new(step));
    }

    /// Undoes everything in reverse; the answer is `error`, with what went wrong meanwhile. `is_unclean` is set when
    /// something could not be undone.
    pub(super) fn after(self, error: CniError, is_unclean: &Cell<bool>) -> CniError {
        self.steps.into_iter().rev().fold(error, |error, step| match step() {
            Ok(()) => error,
            Err(second) => {
                is_unclean.set(true);
                let details = format!("{}; undoing it failed too: {second}", error.details);
                error.because(details)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use plexus_cni::Code;

    use super::*;

    #[test]
    fn steps_are_undone_in_reverse_and_every_error_is_told() {
        let order = RefCell::new(Vec::new());
        let mut undo = Undo::default();
        for step in 1..=3 {
            let order = &order;
            undo.push(move || {
                order.borrow_mut().push(step);
                if step == 2 { Err(CniError::new(Code::Kernel, "stuck")) } else { Ok(()) }
            });
        }
        let is_unclean = Cell::new(false);
        let error = undo.after(CniError::new(Code::RangeExhausted, "full"), &is_unclean);
        assert!(is_unclean.get());
        assert_eq!(*order.borrow(), [3, 2, 1]);
        assert!(error.code == Code::RangeExhausted && error.details.contains("stuck"), "{error}");
    }
}
