"""The verbs of `twinsplit import`: the authors' own files, opened by a restricted reader in a
sandbox.
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from twinsplit.cli.options import PUBLISHED, GrammarOptions

DataFile = Positional[Annotated[Path, arg(metavar="FILE.npy")]]
CheckpointFiles = Positional[Annotated[tuple[Path, ...], arg(metavar="FILES_OR_FOLDERS")]]


def data(
    file: DataFile,
    *,
    out: Path,
    trusted: bool = False,
    impossible: float = 0.0,
    grammar: GrammarOptions = PUBLISHED,
) -> None:
    """The authors' data file (.npy, plain or a pickled object array) into a data
    folder, for `train --data` and `import checkpoints`.

    Args:
        out: the data folder to write
        trusted: I know where the file comes from; without this only its header is read
        impossible: largest fraction of sequences that may be impossible under the grammar
    """
    from twinsplit.papers.imports.header import untrusted_data
    from twinsplit.papers.imports.sequences import import_sequences

    if not trusted:
        raise untrusted_data(file)
    law = grammar.drawn()
    record = {"rules_per_symbol": grammar.rules_per_symbol, "sigma": grammar.sigma, "grammar_seed": grammar.grammar_seed}
    found, share = import_sequences(file, law, record, impossible)
    found.save(out)
    count = f"{len(found.sequences)} sequences of {law.length} tokens"
    print(f"{out}: {count}, {share:.3%} impossible under the grammar, sha256 {found.describe()['sha256'][:16]}")


def checkpoints(
    paths: CheckpointFiles,
    *,
    out: Path,
    data: Path,
    trusted: bool = False,
    held_out: int = 4_000,
    names: Path | None = None,
) -> None:
    """The authors' checkpoints (.pt with model_state_dict, full_params.json beside them) into a run
    folder that can be measured.

    Args:
        out: the run folder to write
        data: the data folder that the networks learned from (`twinsplit import data`)
        trusted: I know where the files come from; without this only their first bytes are read
        held_out: sequences to measure on: the last of the data whose content no split holds
        names: a JSON file that says which tensor is which parameter, where the usual names do not
    """
    from twinsplit.papers.imports.checkpoints import gather
    from twinsplit.papers.imports.header import untrusted_checkpoint
    from twinsplit.papers.imports.names import NameMap
    from twinsplit.papers.imports.run import import_run

    series = gather(paths)
    if not trusted:
        raise untrusted_checkpoint(series.files(series.epochs[0])[0])
    story = import_run(series, data, out, held_out, NameMap.read(names) if names else NameMap.usual())
    for pair in story["shared_contents"]:
        print(f"splits {pair['split_a']} and {pair['split_b']} share {pair['contents']} contents of {series.common.n}")
    held = f"{len(series.sources)} networks on splits {', '.join(map(str, series.splits))} at {len(series.epochs)} epochs"
    print(f"{out}: {held}; next: twinsplit measure {out}")
