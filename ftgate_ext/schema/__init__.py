"""Every type that ftgate writes to disk. Knows no model, no file, no policy."""

from __future__ import annotations

from ftgate_ext.errors import (
    EvalSetError,
    FtgateError,
    PolicyError,
    RunError,
)
from ftgate_ext.schema.comparison import (
    Bound,
    Bucket,
    Comparison,
    Comparisons,
    Estimate,
    Level,
    Look,
    LookLedger,
    LookUse,
    OperationRatio,
    Operations,
    TestResult,
)
from ftgate_ext.schema.decision import (
    EXIT_CODES,
    Audit,
    AuditScenario,
    Decision,
    Outcome,
    RuleResult,
    VerdictName,
)
from ftgate_ext.schema.finding import (
    Example,
    Finding,
    Findings,
)
from ftgate_ext.schema.judging import (
    JudgeVerdict,
    Judgment,
    PairVerdict,
    Qualification,
)
from ftgate_ext.schema.leakage import (
    Leakage,
    LeakedCase,
    LeakPlace,
    LeakWay,
    SetLeaks,
    TrainingFile,
)
from ftgate_ext.schema.manifest import (
    EvalSetUse,
    ModelCard,
    RunManifest,
    ServedModel,
)
from ftgate_ext.schema.price import Price
from ftgate_ext.schema.response import (
    UNSCORED_STATUSES,
    Answer,
    Response,
    ResponseStatus,
    is_unscored,
)
from ftgate_ext.schema.row import (
    FORMAT_VERSION,
    ROLES,
    Role,
    Row,
    to_json,
)

__all__ = [
    "EXIT_CODES",
    "FORMAT_VERSION",
    "ROLES",
    "UNSCORED_STATUSES",
    "Answer",
    "Audit",
    "AuditScenario",
    "Bound",
    "Bucket",
    "Comparison",
    "Comparisons",
    "Decision",
    "Estimate",
    "EvalSetError",
    "EvalSetUse",
    "Example",
    "Finding",
    "Findings",
    "FtgateError",
    "JudgeVerdict",
    "Judgment",
    "LeakPlace",
    "LeakWay",
    "Leakage",
    "LeakedCase",
    "Level",
    "Look",
    "LookLedger",
    "LookUse",
    "ModelCard",
    "OperationRatio",
    "Operations",
    "Outcome",
    "PairVerdict",
    "PolicyError",
    "Price",
    "Qualification",
    "Response",
    "ResponseStatus",
    "Role",
    "Row",
    "RuleResult",
    "RunError",
    "RunManifest",
    "ServedModel",
    "SetLeaks",
    "TestResult",
    "TrainingFile",
    "VerdictName",
    "is_unscored",
    "to_json",
]
