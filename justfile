# An index of the project's commands; each line is also what to type without `just`.

# take a payment through everything, and show how
demo:
    cargo run --release -- demo

# play what a thief gets: api, vault, keys or databases
thief what:
    cargo run --release -- demo --thief {{what}}

# format, lint and the SQLite tests
fast:
    ./test --fast

# everything that CI runs
test:
    ./test

# a development installation in ./coffer-data
up:
    cargo run --release -- init --profile development
    cargo run --release -- up

# kill roles a hundred times under load and compare the ledgers
crash:
    cargo nextest run -p coffer --test crash --run-ignored only a_hundred

# ten minutes at a fixed rate: memory and descriptors stay flat
steady:
    cargo nextest run --release -p coffer --test steady --run-ignored only --no-capture

# measure everything beside its peers; for a machine that does nothing else
bench:
    bench/run

# record what a release does most, for the compiler of the next ones
train:
    bench/train
