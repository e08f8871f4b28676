use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How much somebody may ask for: so many a second, and after a rest that many at once.
#[derive(Debug)]
pub struct Quota {
    per_second: f64,
    state: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    /// What may come now.
    left: f64,
    at: Instant,
}

impl Quota {
    /// Full at the start.
    pub fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, state: Mutex::new(Bucket { left: per_second, at: now }) }
    }

    /// Takes one; where there is none left, says after what time there is.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut bucket = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = self.per_second.min(rested.mul_add(self.per_second, bucket.left));
        bucket.at = bucket.at.max(now);
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / self.per_second));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_may_come_at_once_and_then_as_many_as_the_quota_says() {
        let start = Instant::now();
        let quota = Quota::new(10, start);
        assert!((0..10).all(|_| quota.take(start).is_ok()));
        let wait = quota.take(start).unwrap_err();
        assert!(wait > Duration::from_millis(99) && wait < Duration::from_millis(101), "{wait:?}");
        assert!(quota.take(start + Duration::from_millis(101)).is_ok());
        assert!(quota.take(start + Duration::from_millis(102)).is_err());
    }

    #[test]
    fn a_long_rest_is_worth_no_more_than_a_second() {
        let start = Instant::now();
        let quota = Quota::new(3, start);
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| quota.take(later).is_ok()).count(), 3);
    }
}
