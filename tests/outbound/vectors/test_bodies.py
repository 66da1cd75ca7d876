"""Request bodies out of templates."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from penstock.errors import UsageError
from penstock.outbound.vectors.bodies import DEFAULT_TEMPLATE, BodyTemplate

TWO = np.array([[0.5, -1.25], [3.0, 4.0]], np.float32)


@pytest.mark.parametrize(
    ("template", "bodies"),
    [
        (DEFAULT_TEMPLATE, [b'{"vector":[0.5,-1.25],"top_k":1}', b'{"vector":[3.0,4.0],"top_k":1}']),
        ('"{vector}"', [b"[0.5,-1.25]", b"[3.0,4.0]"]),
        ('["{vector}"]', [b"[[0.5,-1.25]]", b"[[3.0,4.0]]"]),
        ('{"v":"{vector}","n":"{id}"}', [b'{"v":[0.5,-1.25],"n":7}', b'{"v":[3.0,4.0],"n":8}']),
        (
            '{"v":"{vector}","w":"{vector}"}',
            [b'{"v":[0.5,-1.25],"w":[0.5,-1.25]}', b'{"v":[3.0,4.0],"w":[3.0,4.0]}'],
        ),
        (
            '{"q":"{ near({vector}, {k}) }"}',
            [b'{"q":"{ near([0.5,-1.25], 1) }"}', b'{"q":"{ near([3.0,4.0], 1) }"}'],
        ),
        ('{"q":"a \\"{vector}\\" b"}', [b'{"q":"a \\"[0.5,-1.25]\\" b"}', b'{"q":"a \\"[3.0,4.0]\\" b"}']),
        (
            '{"id":"row-{id}","v":"{vector}"}',
            [b'{"id":"row-7","v":[0.5,-1.25]}', b'{"id":"row-8","v":[3.0,4.0]}'],
        ),
        (
            '{"{ k":"{ id }","v":"{vector}"}',
            [b'{"{ k":"{ id }","v":[0.5,-1.25]}', b'{"{ k":"{ id }","v":[3.0,4.0]}'],
        ),
        (
            '{"ü":"é","v":"{vector}"}',
            ['{"ü":"é","v":[0.5,-1.25]}'.encode(), '{"ü":"é","v":[3.0,4.0]}'.encode()],
        ),
    ],
)
def test_templates(template: str, bodies: list[bytes]) -> None:
    """Whole placeholders become values, those inside a string become text; everything else stays."""
    compiled = BodyTemplate(template)
    assert compiled.block(TWO, 7) == bodies
    assert [compiled.one(row, 7 + i) for i, row in enumerate(TWO)] == bodies


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ('{"top_k": 1}', 'no "{vector}"'),
        ('{"v": "{vectr}"}', "unknown placeholder {vectr}"),
        ('{"v": "{vector}", "f": "{field}"}', "unknown placeholder {field}"),
        ('{"v": "{vector}", "x": ["a {b} c"]}', "unknown placeholder {b}"),
        ('{"{vector}": 1}', "in a key"),
    ],
)
def test_templates_that_are_refused(template: str, said: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError) as caught:
        BodyTemplate(template)
    assert said in str(caught.value)


def test_k() -> None:
    """More hits can be asked for where the template says where."""
    template = BodyTemplate('{"vector": "{vector}", "limit": "{k}"}')
    assert template.uses_k
    assert template.with_k(100).block(TWO[:1], 0) == [b'{"vector":[0.5,-1.25],"limit":100}']
    fixed = BodyTemplate('{"vector": "{vector}", "limit": 1}')
    assert not fixed.uses_k
    with pytest.raises(UsageError, match="cannot be changed"):
        fixed.with_k(100)
    with pytest.raises(UsageError, match="at least 1"):
        BodyTemplate(k=0)


def test_integers_stay_integers() -> None:
    """u8 and i8 vectors are sent as whole numbers."""
    template = BodyTemplate('"{vector}"')
    assert template.block(np.array([[0, 255]], np.uint8), 0) == [b"[0,255]"]
    assert template.block(np.array([[-128, 127]], np.int8), 0) == [b"[-128,127]"]


@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 20)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_float32_is_exact(vectors: np.ndarray[Any, Any]) -> None:
    """What a server parses is bit for bit the float32 of the file, with any JSON parser."""
    bodies = BodyTemplate().block(vectors, 0)
    assert len(bodies) == len(vectors)
    for parse in (orjson.loads, json.loads):
        sent = np.array([parse(body)["vector"] for body in bodies], np.float64).astype(np.float32)
        assert sent.tobytes() == vectors.tobytes()


def test_size_of_a_body() -> None:
    """Shortest digits: about 1.4 KB for 128-d, not 2.6 KB."""
    vectors = np.random.default_rng(1).standard_normal((100, 128)).astype(np.float32)
    sizes = [len(body) for body in BodyTemplate().block(vectors, 0)]
    assert 1300 < np.mean(sizes) < 1500


def test_repr() -> None:
    """Shows the template."""
    assert repr(BodyTemplate('"{vector}"')) == '<BodyTemplate "{vector}" k=1>'
