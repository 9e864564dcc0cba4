"""The finer measurements that claims and figures need, made at a run's landmarks; what exists is kept."""

from collections.abc import Callable

from twinsplit.pipeline import stages as pipeline
from twinsplit.pipeline.landmarks import LOSS, SPLIT, checkpoint_at, landmarks_of
from twinsplit.pipeline.stages import Session
from twinsplit.worlds.sequences.profiles import measure_fresh, measure_profile
from twinsplit.worlds.sequences.uturns import measure_random_uturns, measure_uturns, own_starts

Stage = Callable[[Session], None]


def base_stage(session: Session) -> None:
    """Measure what every figure starts from."""
    pipeline.measure_stage(session)


def samples_stage(session: Session) -> None:
    """Samples of every checkpoint and their nearest training sequences."""
    pipeline.sampling_stage(session, session.run.steps())


def uturn_stage(session: Session) -> None:
    """U-turns at the nearest-neighbour minimum and at the test-loss minimum."""
    marks = landmarks_of(session.run)
    steps = tuple(sorted({marks.nearest, marks.loss}))
    pipeline.follow(session, "U-turns", measure_uturns(session.run, session.world, steps, session.executor))


def random_stage(session: Session) -> None:
    """U-turns from random sequences at the test-loss minimum."""
    pipeline.follow(
        session, "U-turns", measure_random_uturns(session.run, session.world, checkpoint_at(session.run, LOSS), session.executor)
    )


def profile_stage(session: Session) -> None:
    """The divergence to the oracle against time at the test-loss minimum."""
    pipeline.follow(session, "profile", measure_profile(session.run, session.world, (checkpoint_at(session.run, LOSS),), session.executor))


def fresh_stage(session: Session) -> None:
    """The excess term on fresh sequences at the onset and at the test-loss minimum."""
    steps = tuple(sorted({checkpoint_at(session.run, SPLIT), checkpoint_at(session.run, LOSS)}))
    pipeline.follow(session, "fresh data", measure_fresh(session.run, session.world, steps, session.executor))


def training_data_stage(session: Session) -> None:
    """Divergences on the networks' own training data, at every checkpoint."""
    pipeline.measure_stage(session, ("train_oracle_divergence", "train_split_divergence"))


def decomposition_stage(session: Session) -> None:
    """The terms of the loss at the later fixed time, at every checkpoint."""
    pipeline.measure_stage(session, ("fixed_time_decomposition",))


CLAIMS: tuple[Stage, ...] = (samples_stage, uturn_stage, profile_stage, fresh_stage)


def measure_landmarks(session: Session, stages: tuple[Stage, ...]) -> None:
    """Everything up to these stages, in their order, at the checkpoints there are: nothing here trains."""
    if uturn_stage in stages:
        own_starts(session.world)  # too few of them are refused before all else is measured
    for stage in (base_stage, *stages):
        stage(session)
