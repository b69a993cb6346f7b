"""The tables of the demo's energy data API: hours of production, consumption and exchange, and its cached answers.

Hours are UTC, each named by its beginning; amounts are MWh within the hour. A municipality lies in one price area, so
the sums over its municipalities are those of the area. Keys begin with the place: a day of one municipality lies
together, and an hour of an area is one look-up a municipality.
"""

import sqlalchemy as sa

from schemas.tables import LONG_TEXT, MAX_CACHE_KEY_CHARS, UtcDateTime, metadata, utc_now

AREA_CODE = sa.String(8)

price_area = sa.Table(
    "price_area",
    metadata,
    sa.Column("code", AREA_CODE, primary_key=True),
    sa.Column("name", sa.String(64), nullable=False),
)

municipality = sa.Table(
    "municipality",
    metadata,
    sa.Column("code", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("price_area", AREA_CODE, nullable=False, doc="price_area.code"),
    sa.Column("inhabitants", sa.Integer, nullable=False),
    sa.Index("ix_municipality_price_area", "price_area"),
)

branche = sa.Table(
    "branche",
    metadata,
    sa.Column("code", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(64), nullable=False),
)

production = sa.Table(
    "production",
    metadata,
    sa.Column("municipality", sa.Integer, primary_key=True, autoincrement=False, doc="municipality.code"),
    sa.Column("hour", UtcDateTime, primary_key=True),
    sa.Column("wind_mwh", sa.Double, nullable=False, doc=">= 0"),
    sa.Column("solar_mwh", sa.Double, nullable=False, doc=">= 0"),
    sa.Column("thermal_mwh", sa.Double, nullable=False, doc=">= 0"),
)

consumption = sa.Table(
    "consumption",
    metadata,
    sa.Column("municipality", sa.Integer, primary_key=True, autoincrement=False, doc="municipality.code"),
    sa.Column("hour", UtcDateTime, primary_key=True),
    sa.Column("branche", sa.Integer, primary_key=True, autoincrement=False, doc="branche.code"),
    sa.Column("mwh", sa.Double, nullable=False, doc=">= 0"),
)

exchange = sa.Table(
    "exchange",
    metadata,
    sa.Column("price_area", AREA_CODE, primary_key=True, doc="price_area.code"),
    sa.Column("hour", UtcDateTime, primary_key=True),
    sa.Column("neighbour", AREA_CODE, primary_key=True, doc="price_area.code"),
    sa.Column("mwh", sa.Double, nullable=False, doc="sent to the neighbour; below 0: received from it"),
)

request_cache = sa.Table(
    "request_cache",
    metadata,
    sa.Column("key_sha256", sa.String(64), primary_key=True, doc="of cache_key as UTF-8, in hex"),
    sa.Column("cache_key", sa.String(MAX_CACHE_KEY_CHARS), nullable=False, doc="normalised request"),
    sa.Column("body", LONG_TEXT, nullable=False, doc="the answer"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False, doc="of the answer"),
    sa.Column("created_at", UtcDateTime, nullable=False, default=utc_now),
    sa.Column("expires_at", UtcDateTime, doc="null: never"),
    sa.Index("ix_request_cache_expires_at", "expires_at"),
)

energy_seed = sa.Table(
    "energy_seed",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False, doc="always 1: there is one seed at a time"),
    sa.Column("generator_version", sa.Integer, nullable=False),
    sa.Column("days", sa.Integer, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False, doc="in all tables of hours"),
    sa.Column("created_at", UtcDateTime, nullable=False, default=utc_now),
)
