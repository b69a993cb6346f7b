"""What `monitor` and `retrain` share: whether the newest requests have drifted from the data of the champion."""

from flows.engine.runtime import STORAGE_RETRIES, io_task, say
from flows.shared.policies import columns_of
from flows.shared.registry import Registry
from flows.shared.requests import NO_SOURCE, StepClock, read_recorded
from flows.shared.validation import judged
from schemas.options.monitor import SMALLEST_WINDOW, MonitorConfig, RetrainConfig
from schemas.options.train import ReadConfig, TableConfig
from tasks.drift.detect import WAS_HIT, Drift, Reference, find_drift, untold
from tasks.extract.read import RowQuery, absent_columns, count_rows
from tasks.registry.bundles import fetch_bundle
from tasks.registry.sql_side import read_versions
from tasks.registry.trained_versions import TrainedVersion


def new_requests(registry: Registry, config: TableConfig, version: TrainedVersion | None) -> int:
    """Return how many requests the table has behind the watermark of a version; all, where it has none."""
    after = version.watermark if version else None
    query = RowQuery(table=config.table, after=after, key_sample=config.key_sample)
    counted: int = io_task(count_rows, retries=STORAGE_RETRIES)(registry.engine, query)
    return counted


def check_drift(
    registry: Registry, config: MonitorConfig | RetrainConfig, champion: TrainedVersion | None, clock: StepClock
) -> Drift:
    """Return whether the newest requests have drifted from those that the champion was made from.

    Raises:
        TraceError: the table lacks a column that the champion was trained on.
        UnfitError, BundleError, StorageError: see `find_drift` and `flows.shared.validation.judged`.
    """
    if champion is None:
        return untold(None, 0, "no version is in Production: there is nothing to compare with")
    if champion.table != config.table:
        return untold(champion.title, 0, f"{champion.title} was trained on requests of {champion.table}")
    if champion.watermark is None:
        return untold(champion.title, 0, f"{champion.title} is of a release that kept no watermark: train anew")
    new = new_requests(registry, config, champion)
    if new < SMALLEST_WINDOW:
        return untold(champion.title, new, f"{new:,} new requests are too few: at least {SMALLEST_WINDOW} are needed")
    return _compared(registry, config, champion, clock)


def _compared(
    registry: Registry, config: MonitorConfig | RetrainConfig, champion: TrainedVersion, clock: StepClock
) -> Drift:
    engine = registry.engine
    (version,) = (one for one in read_versions(engine, champion.name) if one.version == champion.version)
    bundle = io_task(fetch_bundle, retries=STORAGE_RETRIES)(registry.tracker, version, registry.home)
    columns = columns_of(engine, config.table, [bundle.metadata])
    if WAS_HIT not in (*columns, *absent_columns(engine, config.table, [WAS_HIT])):
        columns = (*columns, WAS_HIT)
    options = {name: getattr(config, name) for name in TableConfig.model_fields}
    read = ReadConfig(**options, source=NO_SOURCE, since=bundle.metadata.data.first_timestamp)
    rows, _ = read_recorded(engine, read, clock, columns)
    with clock.step("validate"):
        report, _ = judged(engine, rows, read, decision=None)
        report.require()
    assert champion.watermark is not None
    reference = Reference(champion.title, bundle, champion.watermark, champion.since)
    with clock.step("compare"):
        found: Drift = io_task(find_drift)(report.kept(rows), reference, config, config.seed, config.key_sample)
    for name, why in found.untold.items():
        say(f"{name}: cannot be told: {why}")
    return found
