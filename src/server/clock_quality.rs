//! How good the machine's clock is, as the kernel knows it.

use task_metadata::ClockQuality;

/// Asks the kernel. A clock that it cannot tell of counts as one that nobody corrects.
pub(crate) fn machine() -> ClockQuality {
    let mut clock = std::mem::MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: all zeros is a valid `timex`, which asks for nothing to be changed; the pointer is valid for the call.
    let (state, clock) = unsafe {
        let state = libc::adjtimex(clock.as_mut_ptr());
        (state, clock.assume_init())
    };
    let error_bound_us = u32::try_from(clock.maxerror).unwrap_or(u32::MAX);
    ClockQuality {
        error_bound_ms: f64::from(error_bound_us) / 1000.0,
        is_synchronized: state >= 0 && clock.status & libc::STA_UNSYNC == 0,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_tells_how_far_the_clock_may_be_off() {
        assert!(super::machine().error_bound_ms >= 0.0);
    }
}
