use std::sync::Arc;

use crate::audit::{Audit, Event};
use crate::cli::failure::Failure;
use crate::cli::follow::{Follow, Submit};
use crate::cli::output::Output;
use crate::cli::stop::Stop;
use crate::cli::vault::Vault;
use crate::witness::{Desk, Request, Verdict, WitnessError};

pub(super) async fn run(vault: &Vault, once: bool) -> Result<u8, Failure> {
    let stop = Stop::listen()?;
    vault.log.change_on_signal()?;
    let (desk, closing) = Desk::start(vault.witness().await?)?;
    let done = follow(vault, Recorded { desk: desk.clone(), audit: vault.audit()? }, once, &stop).await;
    closing.close(desk).await;
    done
}

async fn follow(vault: &Vault, submit: Recorded, once: bool, stop: &Stop) -> Result<u8, Failure> {
    let follow = Follow::open(vault, submit).await?;
    if !once {
        return follow.run(vault, stop).await.map(|()| 0);
    }
    let read = follow.once(vault).await?;
    Output::new().line(&format!("{read} items were read."))?;
    Ok(0)
}

/// A desk whose verdicts are written down.
#[derive(Clone)]
struct Recorded {
    desk: Desk,
    audit: Arc<Audit>,
}

impl Submit for Recorded {
    async fn submit(&self, request: Request) -> Result<Verdict, WitnessError> {
        let submission = request.submission.clone();
        let verdict = self.desk.submit(request).await?;
        if let Verdict::Forked(evidence) = &verdict {
            let evidence = evidence.get_str("fork_evidence_id").unwrap_or_default();
            tracing::error!(evidence, "a fork was found");
        }
        let (tenant, stream, number) = (&submission.tenant_id, &submission.stream_id, submission.checkpoint_seq_no);
        self.audit.note(Event::checkpoint(verdict.name(), tenant, stream, number));
        Ok(verdict)
    }
}
