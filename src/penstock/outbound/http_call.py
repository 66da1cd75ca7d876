"""From records to requests, and from responses to values: the Call of `penstock send`."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jmespath
import orjson

from ..call import Prepared
from ..clock import SYSTEM_CLOCK, current_clock
from ..errors import BadBody, InputError, StatusError, Unexpected, UsageError
from ..layers.rate_limit import RateLimiter
from ..layers.server_limits import ServerLimits
from ..messages import Headers, Request, Response
from ..rules.outcome import is_idempotent
from ..rules.retry_after import parse_retry_after
from ..rules.template import json_filler, placeholders, text_filler, url_filler
from .costs import read_cost
from .outcome import Answer
from .records import Record

_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})
_QUOTED = 300


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What a request looks like: `url` and `body` with `{field}` placeholders, header values with `${ENV}`."""

    url: str
    method: str = "POST"
    body: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    idempotency_key: str | None = None

    @property
    def idempotent(self) -> bool:
        """Whether the request may be repeated without harm."""
        return is_idempotent(self.method) or self.idempotency_key is not None

    @property
    def fields(self) -> set[str]:
        """Every field that a record must have."""
        return placeholders(self.url) | (placeholders(self.body) if self.body else set())


def parse_header(text: str, environment: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """`Name: value`, with `${ENV}` replaced. Raises UsageError, which never shows the value."""
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"--header {name.split()[0] if name.split() else text!r}: write 'Name: value'")

    def expand(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise UsageError(f"--header {name.strip()}: the environment has no {match[1]}")
        return environment[match[1]]

    expanded = _ENV.sub(expand, value.strip())
    Headers([(name.strip(), expanded)])
    return name.strip(), expanded


class RequestBuilder:
    """Makes the request of a record. Raises UsageError for a template that cannot work."""

    def __init__(self, template: RequestTemplate, run_id: str = "") -> None:
        self._template = template
        self._url = url_filler(template.url)
        self._run_id = run_id
        given = {name.lower() for name, _ in template.headers}
        self._encode, content_type = _encoder(template, given)
        fields = list(template.headers)
        if content_type and "content-type" not in given:
            fields.append(("Content-Type", content_type))
        if "accept" not in given:
            fields.append(("Accept", "application/json, */*;q=0.5"))
        self._headers = Headers(fields)
        # Where placeholders stand in the host, no connection is known to be the right one beforehand.
        slash = template.url.find("/", 8)
        self.origin = (template.url if slash < 0 else template.url[: slash + 1]).split("{")[0]
        """Scheme, host and a slash; whatever else it is, no connection is open to it."""
        self.one_host = "{" not in (template.url if slash < 0 else template.url[:slash])
        """Whether all requests go to the same host."""
        self.parse = bool(template.fields)
        """Whether records must be looked into."""

    def check(self, fields: Any) -> str:
        """What keeps a request from being made of this record, or nothing."""
        try:
            self.build(Record(fields))
        except UsageError as error:
            return str(error)
        return ""

    def host(self, record: Record) -> str:
        """Scheme and authority of the URL of `record`. Raises InputError for one it cannot be made of."""
        if self.one_host:
            return self.origin
        try:
            url = self._url(record.fields)
        except UsageError as error:
            raise InputError(str(error)) from error
        return re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0].lower()

    def build(self, record: Record) -> Request:
        """The request. Raises InputError for a record it cannot be made of."""
        if record.problem:
            raise InputError(record.problem)
        fields = record.fields
        if self.parse and not isinstance(fields, dict):
            raise InputError("is not an object, but the request asks for fields")
        try:
            url = self._url(fields)
            body = self._encode(record) if self._encode is not None else b""
        except UsageError as error:
            raise InputError(str(error)) from error
        except TypeError as error:
            raise InputError(f"cannot be written as JSON: {error}") from error
        headers = self._headers
        if self._template.idempotency_key is not None:
            digest = hashlib.sha256(f"{self._run_id}:{record.key!r}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
            headers = Headers([*headers, (self._template.idempotency_key, digest)])
        return Request(self._template.method, url, headers, body)


def _encoder(template: RequestTemplate, given: set[str]) -> tuple[Callable[[Record], bytes] | None, str]:
    """(record -> body, content type)."""
    if template.body is None:
        if template.method.upper() in _BODILESS:
            return None, ""
        return _record_as_json, "application/json"
    content_type = next((value for name, value in template.headers if name.lower() == "content-type"), "")
    if "content-type" in given and "json" not in content_type.lower():
        text = text_filler(template.body)
        return lambda record: text(record.fields).encode("utf-8", "replace"), ""
    fill = json_filler(template.body)
    return lambda record: _as_json(fill(record.fields)), "application/json"


def _record_as_json(record: Record) -> bytes:
    return record.raw if record.raw is not None else _as_json(record.fields)


def _as_json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # A whole number beyond 64 bits.
        return json.dumps(value, separators=(",", ":")).encode()


class Interpreter:
    """Makes an Answer of a response, or raises the CallError that says why not.

    `extract`, `expect` and `cost` are JMESPath expressions on the JSON body; with `text` a body need not be JSON and
    its text is the value. `cost` is where the answer says what it has cost.
    """

    def __init__(
        self, extract: str | None = None, expect: str | None = None, *, text: bool = False, cost: str | None = None
    ) -> None:
        self._extract = _compile("--extract", extract)
        self._expect = _compile("--expect", expect)
        self._expect_text = expect
        self._text = text
        self._cost = _compile("--cost-actual", cost)
        if text and (extract or expect or cost):
            raise UsageError("--extract, --expect and --cost-actual look into JSON; they do not go with --answer text")

    def __call__(self, response: Response) -> Answer:
        """Raises StatusError, BadBody or Unexpected."""
        status = response.status
        if not 200 <= status < 300:
            raise status_error(response)
        if self._text:
            return Answer(status, response.body.decode("utf-8", "replace"))
        if not response.body:
            return Answer(status, None)
        try:
            value = orjson.loads(response.body)
        except orjson.JSONDecodeError as error:
            raise _not_json(response, error) from error
        if self._expect is not None and not self._expect(value):
            raise Unexpected(f"{self._expect_text} is not met by {quote_body(response.body)}", status=status)
        cost = None if self._cost is None else read_cost(self._cost(value))
        return Answer(status, value if self._extract is None else self._extract(value), cost)


def status_error(response: Response) -> StatusError:
    """The error for an answer whose status is not 2xx."""
    retry_after = parse_retry_after(
        response.headers.get("retry-after"), SYSTEM_CLOCK.wall(), response.headers.get("date")
    )
    body = f": {quote_body(response.body)}" if response.body else ""
    return StatusError(f"HTTP {response.status}{body}", status=response.status, retry_after=retry_after)


def _not_json(response: Response, error: orjson.JSONDecodeError) -> BadBody:
    kind = response.headers.get("content-type") or "no content type"
    return BadBody(
        f"the answer ({kind}) is not JSON, {error.msg}: {quote_body(response.body)} (see --answer text)",
        status=response.status,
    )


def quote_body(body: bytes) -> str:
    """The beginning of a body, on one line, for a message."""
    text = body[: _QUOTED + 1].decode("utf-8", "replace")
    return " ".join(text[:_QUOTED].split()) + ("..." if len(text) > _QUOTED else "")


def _compile(option: str, expression: str | None) -> Callable[[Any], Any] | None:
    return None if expression is None else compile_path(option, expression)


def compile_path(option: str, expression: str) -> Callable[[Any], Any]:
    """A JMESPath expression as a function of JSON. Raises UsageError, which names the option it was given with."""
    try:
        compiled = jmespath.compile(expression)
    except jmespath.exceptions.JMESPathError as error:
        raise UsageError(f"{option} is not a JMESPath expression: {' '.join(str(error).split())}") from error
    return lambda value: compiled.search(value)


class HttpCall:
    """The Call of a run over records: build, send, interpret. `client` is the wire's or an adapter's."""

    def __init__(self, client: Any, builder: RequestBuilder, interpret: Callable[[Response], Any]) -> None:
        self._client = client
        self._builder = builder
        self._interpret = interpret
        self._listener: ServerLimits | None = None
        if hasattr(client, "prepare"):
            self.prepare = self._prepare
            self.ready = self._is_ready

    def listen(self, limiter: RateLimiter) -> None:
        """Hand on to `limiter` what answers tell of limits, from now on. To be called in the loop of the run."""
        self._listener = ServerLimits(limiter, current_clock())

    async def __call__(self, item: Any) -> Any:
        """Send the request of `item` and interpret the answer."""
        request = self._builder.build(item)
        if self._listener is None:
            return self._interpret(await self._client(request))
        sent = self._listener.now()
        response = await self._client(request)
        self._listener.hear(response, sent)
        return self._interpret(response)

    def _is_ready(self, item: Any) -> bool:
        return bool(self._client.ready_for(self._builder.origin))

    async def _prepare(self, item: Any) -> Exchange:
        return Exchange(await self._client.prepare(self._builder.build(item)), self._interpret, self._listener)


class Exchange:
    """A prepared request together with the interpretation of its answer."""

    __slots__ = ("_interpret", "_listener", "_prepared")

    def __init__(
        self, prepared: Prepared[Response], interpret: Callable[[Response], Any], listener: ServerLimits | None = None
    ) -> None:
        self._prepared = prepared
        self._interpret = interpret
        self._listener = listener

    async def send(self) -> Any:
        """See Prepared."""
        if self._listener is None:
            return self._interpret(await self._prepared.send())
        sent = self._listener.now()
        response = await self._prepared.send()
        self._listener.hear(response, sent)
        return self._interpret(response)

    def release(self) -> None:
        """See Prepared."""
        self._prepared.release()
