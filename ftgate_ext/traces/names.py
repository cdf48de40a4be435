"""Every name that leaves this machine in a trace, and the version of the conventions it is from.

The GenAI conventions are in development and moved to a repository of their own after version
1.41; that repository has no release yet. So the last released version is what is used here.
Source: OpenTelemetry semantic conventions 1.41.0, gen-ai-spans and gen-ai-events.
"""

from __future__ import annotations

from urllib.parse import urlsplit

SEMCONV_VERSION = "1.41.0"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{SEMCONV_VERSION}"

# Of the conventions.
OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHED_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
EVALUATION_EVENT = "gen_ai.evaluation.result"
EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_VALUE = "gen_ai.evaluation.score.value"
EVALUATION_LABEL = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
CHAT = "chat"

# Our own, on every span.
EVAL_RUN_ID = "eval_run_id"
MODEL = "model"
EVAL_SET = "eval_set"
PROMPT_ID = "prompt_id"

# Our own, where they apply.
ROLE = "ftgate.role"
CASE_ID = "ftgate.case_id"
DOC_HASH = "ftgate.doc_hash"
STATUS = "ftgate.response.status"
OCCURRENCE = "ftgate.response.occurrence"
ATTEMPTS = "ftgate.response.attempts"
COST_USD = "ftgate.response.cost_usd"
TOKENS_ESTIMATED = "ftgate.response.tokens_estimated"
BASELINE = "ftgate.judge.baseline"
FIRST = "ftgate.judge.first"
FINGERPRINT = "ftgate.judge.fingerprint"
POLICY = "ftgate.policy.name"
POLICY_HASH = "ftgate.policy.hash"
VERDICT = "ftgate.verdict"

SESSION_ID = "session.id"
"""On every root: what belongs to one run is one session where a receiver knows sessions."""

# Of OpenInference, which Phoenix sorts spans and projects by.
PHOENIX_PROJECT = "openinference.project.name"
PHOENIX_KIND = "openinference.span.kind"
INPUT_VALUE = "input.value"
OUTPUT_VALUE = "output.value"

COMPATIBLE = "openai_compatible"
"""Provider of a server that only speaks the chat API: what is behind it is not known."""
PROVIDERS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "inference.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "amazonaws.com": "aws.bedrock",
}
"""End of a host name -> `gen_ai.provider.name`, as the conventions list them."""


def provider_of(endpoint: str, backend: str | None = None) -> str:
    """Who answers, as far as the address tells.

    Args:
        endpoint: A base URL.
        backend: The lm-eval model that answers instead of a server.
    """
    if backend:
        return backend
    host = urlsplit(endpoint).hostname or ""
    for end, provider in PROVIDERS.items():
        if host == end or host.endswith((f".{end}", f"-{end}")):
            return provider
    return COMPATIBLE
