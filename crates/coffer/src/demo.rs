//! `coffer demo`: a whole Coffer in a temporary directory takes a payment, and shows what it sent, what came back, and that
//! the card number is nowhere. A transcript for a newcomer; ends with an error if any step is not as it should be.

mod act;
mod hook;
mod hunt;
mod shop;
mod stage;
mod thief;
mod transcript;

use coffer_net::tls;

use crate::{cli::DemoArguments, failure::Failure, runtime};
use shop::Shop;
use stage::Stage;
pub(crate) use thief::Loot;
use transcript::Transcript;

/// Plays it.
pub(crate) fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    tls::install_provider();
    runtime::serve(play(arguments.keep, arguments.thief))
}

async fn play(keep: bool, thief: Option<Loot>) -> Result<(), Failure> {
    let mut script = Transcript::default();
    script.title("Starting keys, vault, api and simulator: four processes, free ports, a temporary directory");
    let mut stage = Stage::build().await?;
    for line in stage.described() {
        script.line(&line);
    }
    let mut shop = Shop::open(&stage)?;
    match thief {
        None => story(&mut script, &stage, &mut shop).await?,
        Some(loot) => thief::play(&mut script, &stage, &mut shop, loot).await?,
    }
    if keep {
        stage.describe_kept();
        stage.hold().await?;
    }
    stage.strike().await?;
    script.verdict()
}

/// The acts in their order; each shows its requests and says what must be true.
async fn story(script: &mut Transcript, stage: &Stage, shop: &mut Shop) -> Result<(), Failure> {
    let mut hook = act::tell_me(script, shop).await?;
    let token = act::deposit(script, shop).await?;
    let payment = act::pay(script, shop, &token).await?;
    act::be_told(script, shop, &mut hook, &payment).await?;
    act::refund(script, shop, &payment).await?;
    act::decline(script, shop).await?;
    act::challenge(script, shop).await?;
    act::repeat(script, shop).await?;
    act::seal(script, stage, shop, &payment).await?;
    hunt::prove(script, stage, shop, &hook, &payment)?;
    Ok(())
}
