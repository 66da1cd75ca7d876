"""How public APIs page: many shapes as data, each over rows that are known, behind one `respond`.

    shapes = PagedShapes()
    async with FaultServer(respond=shapes) as server:
        ...  # pull from server.url + "/stripe"
    assert shapes.asked["stripe"] <= SHAPES["stripe"].most_calls(250)

The names are of APIs whose public documents name such fields and parameters; what they answer is made up here.
"""

from .cut import Cut, Shape
from .serve import SHAPES, PagedShapes

__all__ = ["SHAPES", "Cut", "PagedShapes", "Shape"]
