"""`trueup.toml`: the lake, the sources, the matching rules and the bounds of a project."""

from trueup.config.columns import (
    CHARGE_COLUMNS,
    DECIMAL_COLUMNS,
    FLAG_COLUMNS,
    STREAM_COLUMNS,
    SUBSCRIBER_COLUMNS,
    TARIFF_COLUMNS,
    TIME_COLUMNS,
    USAGE_COLUMNS,
    WHOLE_COLUMNS,
    Stream,
)
from trueup.config.document import FILE_NAME, Config, parse
from trueup.config.environment import as_utf8, expand, expand_path, is_utf8, variables
from trueup.config.folder import MAX_TOML_BYTES, Project
from trueup.config.preset_files import preset_names, preset_source, preset_text, preset_title
from trueup.config.tables.anchor import AnchorConfig
from trueup.config.tables.chain import ChainConfig
from trueup.config.tables.fraud import FraudConfig, FraudLoss, HotRule
from trueup.config.tables.lake import BucketBy, LakeConfig
from trueup.config.tables.limits import LimitsConfig
from trueup.config.tables.of_source.fixed import FixedConfig, FixedField
from trueup.config.tables.of_source.framing import FramingConfig
from trueup.config.tables.of_source.notation import NotationConfig
from trueup.config.tables.of_source.record_type import RecordTypeConfig
from trueup.config.tables.project import ProjectConfig
from trueup.config.tables.quality import ExpectationConfig, GateConfig, GateSeverity, QualityConfig, Severity
from trueup.config.tables.rating import RatingConfig
from trueup.config.tables.reconcile import Match, ServiceConfig
from trueup.config.tables.source import ColumnRule, FeedConfig, ManifestConfig, SourceConfig
from trueup.config.tables.sql import SqlConfig
from trueup.config.tables.workbench import LOOPBACK_HOSTS, Role, WorkbenchConfig
from trueup.config.values import decimal_micros, duration_us, size_bytes, time_limit_us, zone_of

__all__ = [
    "CHARGE_COLUMNS",
    "DECIMAL_COLUMNS",
    "FILE_NAME",
    "FLAG_COLUMNS",
    "LOOPBACK_HOSTS",
    "MAX_TOML_BYTES",
    "STREAM_COLUMNS",
    "SUBSCRIBER_COLUMNS",
    "TARIFF_COLUMNS",
    "TIME_COLUMNS",
    "USAGE_COLUMNS",
    "WHOLE_COLUMNS",
    "AnchorConfig",
    "BucketBy",
    "ChainConfig",
    "ColumnRule",
    "Config",
    "ExpectationConfig",
    "FeedConfig",
    "FixedConfig",
    "FixedField",
    "FramingConfig",
    "FraudConfig",
    "FraudLoss",
    "GateConfig",
    "GateSeverity",
    "HotRule",
    "LakeConfig",
    "LimitsConfig",
    "ManifestConfig",
    "Match",
    "NotationConfig",
    "Project",
    "ProjectConfig",
    "QualityConfig",
    "RatingConfig",
    "RecordTypeConfig",
    "Role",
    "ServiceConfig",
    "Severity",
    "SourceConfig",
    "SqlConfig",
    "Stream",
    "WorkbenchConfig",
    "as_utf8",
    "decimal_micros",
    "duration_us",
    "expand",
    "expand_path",
    "is_utf8",
    "parse",
    "preset_names",
    "preset_source",
    "preset_text",
    "preset_title",
    "size_bytes",
    "time_limit_us",
    "variables",
    "zone_of",
]
