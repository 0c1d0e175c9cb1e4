"""What the synthetic clauses speak of: contexts, objects, properties with plausible values, accessories, conditions.

Every property carries the range that a building professional would find plausible for *this* object; the ranges are
ours, written after the style of published acceptable solutions, and are not a building code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Property:
    """A numeric property: unit, plausible range, step, and whether codes limit it from below, above or both.

    ``limit`` is ``min``, ``max`` or ``both``. ``unit`` ``":"`` marks a gradient written ``1:n``; low, high and step
    are then of ``n``, and *steeper* means a smaller ``n``.
    """

    name: str
    unit: str
    low: float
    high: float
    step: float
    limit: str


@dataclass(frozen=True)
class Item:
    """An object: its properties, what it can be fitted with, what it can be made of, and where it can stand.

    An object without places of its own can be in those of its context.
    """

    name: str
    properties: tuple[Property, ...]
    accessories: tuple[str, ...]
    materials: tuple[str, ...]
    places: tuple[str, ...]


@dataclass(frozen=True)
class Context:
    """A regulatory context: its document code, headings, objects, places and standards."""

    name: str
    code: str
    headings: tuple[str, ...]
    items: tuple[Item, ...]
    places: tuple[str, ...]
    standards: tuple[str, ...]


def _context(name: str, *, headings: str, places: str, standards: str, items: str) -> Context:
    """Read a table: for each object one line ``name: property unit low..high/step limit; ...`` and one line
    ``with`` what it can be fitted with, ``of`` what it can be made of, ``in`` where it can stand."""
    lines = [line.strip() for line in items.strip().splitlines()]
    name, code = name.split()
    parsed = tuple(_item(*pair) for pair in zip(lines[::2], lines[1::2], strict=True))
    return Context(name, code, _list(headings), parsed, _list(places), _list(standards))


def _item(measured: str, described: str) -> Item:
    name, _, entries = measured.partition(":")
    properties = []
    for entry in entries.split(";"):
        *words, unit, numbers, limit = entry.split()
        low, high, step = (float(number) for number in re.split(r"\.\.|/", numbers))
        properties.append(Property(" ".join(words), unit, low, high, step, limit))
    parts = dict(part.split(maxsplit=1) for part in described.split(";"))
    return Item(name, tuple(properties), *(_list(parts.get(word, "")) for word in ("with", "of", "in")))


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


CONTEXTS = (
    _context(
        "fire C",
        headings="Means of escape, Fire separation, Fire safety systems",
        places="basement, stairwell, plant room, lobby",
        standards="NZS 4541, AS 1670, NZS 4512",
        items="""
        exit door: clear width mm 760..1200/10 min; opening force N 40..110/5 max
            with vision panel, panic bolt, exit sign; of steel, timber
        escape route: width mm 850..1500/50 min; length m 18..60/2 max
            with exit sign, smoke curtain, handrail; in basement, lobby
        fire door: fire resistance minutes 30..120/30 min; closing time s 5..25/5 max
            with door closer, vision panel, smoke seal; of steel, timber
        fire wall: fire resistance minutes 60..240/30 min; thickness mm 100..240/10 min
            with fire collar, smoke seal; of concrete, brick; in basement, plant room
        smoke detector: spacing m 5..12/0.5 max; mounting height m 2.4..4.2/0.1 max
            with test button, warning light
        sprinkler head: coverage area m2 9..21/1 max; spacing m 2.4..4.6/0.2 max
            with wire guard, cover plate
        emergency light: illuminance lux 1..10/1 min; duration minutes 30..180/30 min
            with test button, battery pack
        """,
    ),
    _context(
        "access D",
        headings="Access routes, Accessible facilities, Stairs and ramps",
        places="lobby, courtyard, car park, stairwell",
        standards="NZS 4121, AS 1428, NZS 4332",
        items="""
        ramp: width mm 900..1500/50 min; gradient : 8..20/1 max
            with handrail, kerb, landing; of concrete, timber, steel; in lobby, courtyard, car park
        stair: riser height mm 140..190/5 max; tread depth mm 250..355/5 min; width mm 900..1500/50 min
            with handrail, landing, nosing strip; of concrete, timber, steel
        handrail: height mm 850..1000/10 both; diameter mm 32..50/2 both
            with end return, wall bracket; of steel, timber
        corridor: width mm 1200..1800/50 min; ceiling height mm 2100..2700/50 min
            with handrail, direction sign; in lobby, basement
        lift car: width mm 1100..1600/50 min; depth mm 1400..2100/50 min
            with handrail, mirror, call button; in lobby, car park
        doorway: clear width mm 760..1000/10 min; threshold height mm 5..20/1 max
            with door closer, kick plate
        parking space: width mm 2400..3600/100 min; length mm 5000..6000/100 min
            with wheel stop, direction sign; in basement, courtyard, car park
        """,
    ),
    _context(
        "drainage E",
        headings="Surface water, Foul water drains, Disposal systems",
        places="courtyard, driveway, basement, car park",
        standards="NZS 3500, AS 1254, NZS 7643",
        items="""
        drain: diameter mm 65..225/5 min; gradient : 40..120/5 min; cover depth mm 300..900/50 min
            with inspection point, bedding layer; of clay, concrete, copper
        gutter: width mm 100..200/5 min; depth mm 60..150/5 min
            with leaf guard, overflow outlet; of steel, copper; in courtyard, driveway, car park
        downpipe: diameter mm 60..150/5 min; catchment area m2 40..120/5 max
            with leaf guard, spreader; of steel, copper; in courtyard, driveway, car park
        gully trap: water seal mm 50..75/5 min; rim height mm 25..150/25 min
            with grating, surround
        manhole: diameter mm 900..1200/50 min; spacing m 50..100/5 max
            with step iron, sealed cover; of concrete, brick; in courtyard, driveway, car park
        sump: volume L 60..450/10 min; depth mm 450..1200/50 min
            with grating, sediment trap; of concrete, clay
        soak pit: boundary distance m 1..5/0.5 min; depth m 0.8..3/0.1 max
            with sediment trap, inspection point; in courtyard, driveway
        """,
    ),
    _context(
        "structure B",
        headings="Floor framing, Foundations, Walls and roofs",
        places="garage, basement, roof space, balcony",
        standards="NZS 3604, NZS 3101, AS 1720",
        items="""
        floor joist: span mm 1500..6000/100 max; spacing mm 300..600/50 max; depth mm 140..290/10 min
            with solid blocking, joist hanger; of timber, steel
        rafter: span mm 1200..5400/100 max; spacing mm 480..1200/60 max
            with collar tie, wind brace; of timber, steel; in garage, roof space
        timber stud: height mm 2400..4800/100 max; spacing mm 300..600/50 max
            with wind brace, solid blocking; in garage, basement
        footing: depth mm 200..600/50 min; width mm 240..600/20 min; concrete strength MPa 17.5..40/2.5 min
            with starter bar, levelling pad; of concrete
        anchor bolt: spacing mm 600..1400/100 max; embedment mm 75..150/5 min; diameter mm 10..20/2 min
            with square washer, locking nut; of steel
        floor slab: thickness mm 85..200/5 min; live load kPa 1.5..5/0.5 max
            with damp barrier, starter bar; of concrete
        retaining wall: height m 0.6..3/0.1 max; surcharge kPa 2.5..10/0.5 max
            with weep hole, drainage layer; of concrete, timber, brick; in garage, basement, driveway
        """,
    ),
    _context(
        "ventilation G",
        headings="Natural ventilation, Mechanical ventilation, Air quality",
        places="basement, plant room, roof space, car park",
        standards="NZS 4303, AS 1668, AS 1324",
        items="""
        kitchen: ventilation rate L/s 40..120/2 min; window area m2 0.8..3/0.1 min
            with range hood, extract fan; in basement, mezzanine
        bathroom: ventilation rate L/s 15..50/1 min; window area m2 0.3..1.5/0.1 min
            with extract fan, roof vent; in basement, mezzanine
        exhaust duct: length m 2..12/0.5 max; diameter mm 100..250/25 min; air speed m/s 2..8/0.5 max
            with fire damper, access panel; of steel, aluminium
        air filter: efficiency % 60..95/5 min; pressure drop Pa 50..250/10 max
            with pressure gauge, access panel
        air intake: height m 1.5..6/0.5 min; outlet distance m 3..12/0.5 min
            with insect screen, weather louvre; of steel, aluminium
        extract fan: flow rate L/s 25..150/5 min; noise level dB 30..55/1 max
            with timer switch, insect screen
        plenum: depth mm 250..900/50 min; leakage rate L/s 1..10/0.5 max
            with access panel, drain tray; of steel, aluminium
        """,
    ),
    _context(
        "envelope H",
        headings="External moisture, Thermal insulation, Roofs and claddings",
        places="balcony, roof space, courtyard, garage",
        standards="NZS 4246, NZS 4218, AS 2050",
        items="""
        wall cladding: ground clearance mm 100..225/5 min; cavity depth mm 18..50/1 min
            with cavity closer, corner trim; of brick, timber, steel; in balcony, garage
        roof: pitch deg 3..35/1 min; overhang mm 150..900/50 min
            with ridge vent, snow guard; of steel, clay, concrete; in garage, balcony
        window: sill height mm 600..1100/20 min; glazed area m2 0.6..4.2/0.2 max
            with sill tray, safety stay; of timber, aluminium; in garage, stairwell
        flashing: cover mm 35..200/5 min; thickness mm 0.4..1.2/0.1 min
            with drip edge, stop end; of steel, copper, aluminium
        insulation panel: thickness mm 100..300/10 min; thermal resistance m2K/W 2.9..7/0.1 min
            with vapour barrier, support strap; in garage, roof space
        skylight: glazed area m2 0.4..3/0.1 max; upstand height mm 90..250/10 min
            with condensation channel, safety stay; of aluminium; in garage, stairwell
        parapet: height mm 300..1100/50 both; crossfall deg 3..10/1 min
            with saddle flashing, overflow outlet; of concrete, brick; in balcony, courtyard
        """,
    ),
    _context(
        "lighting L",
        headings="Artificial light, Electrical safety, Control of lighting",
        places="stairwell, plant room, car park, lobby",
        standards="NZS 3000, AS 1680, NZS 6703",
        items="""
        light fitting: illuminance lux 20..320/20 min; mounting height m 2.1..4.5/0.1 min
            with diffuser, wire guard; of steel, aluminium
        socket outlet: height mm 300..1200/50 both; basin distance mm 400..1200/50 min
            with safety shutter, cover plate
        switchboard: clearance mm 600..1200/50 min; height mm 1200..2000/50 max
            with main switch, warning label; of steel
        light switch: height mm 900..1200/20 both; door distance mm 100..300/20 max
            with indicator lamp, cover plate
        cable tray: depth mm 50..150/10 min; support spacing mm 600..3000/100 max
            with earth strap, drip edge; of steel, aluminium
        street lamp: spacing m 20..50/2 max; pole height m 4..12/0.5 min
            with base cover, photo cell; of steel, aluminium; in courtyard, car park, driveway
        battery room: ventilation rate L/s 10..80/2 min; temperature degC 15..30/1 max
            with extract fan, warning label; in basement, plant room
        """,
    ),
    _context(
        "plumbing P",
        headings="Water supplies, Hot water, Sanitary fixtures",
        places="basement, roof space, plant room, garage",
        standards="NZS 4305, AS 1357, NZS 4607",
        items="""
        water heater: capacity L 90..450/10 min; water temperature degC 60..75/1 min
            with relief valve, drain tray; of steel, copper
        water pipe: diameter mm 15..50/5 min; pressure kPa 200..500/10 max
            with isolating valve, pipe sleeve; of copper, steel
        basin: water temperature degC 38..50/1 max; flow rate L/s 0.1..0.4/0.1 min; rim height mm 750..900/10 max
            with overflow outlet, mixing valve; of steel
        shower: water temperature degC 38..50/1 max; floor area m2 0.8..2/0.1 min
            with mixing valve, grab bar
        water tank: capacity L 200..2000/50 min; air gap mm 20..50/5 min
            with overflow outlet, sealed cover; of steel, concrete
        relief valve: pressure kPa 500..1000/50 max; drain diameter mm 15..40/5 min
            with test lever, pressure gauge; of copper
        water meter: flow rate L/s 0.2..2/0.2 min; cover depth mm 300..600/50 min
            with isolating valve, sealed cover
        """,
    ),
)

HELD_OUT_CONTEXT = "plumbing"
"""Its rules are in no training or pre-training pair: the ``document`` split."""

USES = ("hospital", "school", "hotel", "office", "warehouse", "theatre", "shop", "factory", "rest home", "library")
SYSTEMS = ("sprinkler system", "fire alarm", "backup generator", "goods lift", "control room", "public address system")

COMPARATORS: dict[str, tuple[str, ...]] = {
    "greaterThanEqual": ("at least", "not less than", "no less than", "a minimum of"),
    "lessThanEqual": ("at most", "not more than", "no more than", "a maximum of", "up to"),
    "greaterThan": ("more than", "greater than", "above"),
    "lessThan": ("less than", "below", "under"),
    "equal": ("equal to", "exactly"),
}
AFTER_OF: dict[str, tuple[str, ...]] = COMPARATORS | {
    "greaterThan": ("more than", "greater than"),
    "lessThan": ("less than",),
    "equal": ("exactly",),
}
"""Comparators that read well after ``of``, ``with`` and ``has``."""
SYMBOLS = {"greaterThanEqual": ">=", "lessThanEqual": "<=", "greaterThan": ">", "lessThan": "<", "equal": "="}

OBLIGATIONS = ("shall", "must")
PERMISSIONS = ("may", "can")
PROHIBITIONS = ("shall not", "must not", "may not")


def camel(phrase: str) -> str:
    """``exit door`` -> ``exitDoor``, as identifiers of the rule notation are written.

    >>> camel("public address system")
    'publicAddressSystem'
    """
    first, *rest = phrase.split()
    return first + "".join(word[0].upper() + word[1:] for word in rest)


def article(phrase: str) -> str:
    """``a`` or ``an``, by the first letter (no silent h or long u occurs in the vocabulary; a test reads them all).

    >>> article("exit door"), article("hospital")
    ('an', 'a')
    """
    return "an" if phrase[0] in "aeio" or (phrase.startswith(("up", "un")) and not phrase.startswith("uni")) else "a"


def plural(phrase: str) -> str:
    """The plural of an object's name.

    >>> plural("light switch"), plural("floor joist"), plural("library")
    ('light switches', 'floor joists', 'libraries')
    """
    if phrase.endswith(("ch", "sh", "s", "x")):
        return phrase + "es"
    if phrase.endswith("y") and phrase[-2] not in "aeiou":
        return phrase[:-1] + "ies"
    return phrase + "s"


def words_of_category() -> dict[str, str]:
    """Every noun phrase of the vocabulary with its feature category, ``object`` or ``property``."""
    table: dict[str, str] = {}
    for context in CONTEXTS:
        for item in context.items:
            for prop in item.properties:
                table[prop.name] = "property"
            for name in (*item.accessories, *context.places, *item.places, *item.materials):
                table[name] = table[plural(name)] = "object"
    for context in CONTEXTS:
        for item in context.items:
            table[item.name] = table[plural(item.name)] = "object"
    for name in (*USES, *SYSTEMS, "building"):
        table[name] = table[plural(name)] = "object"
    for name in ("occupant load", "height", "storeys", "use", "location"):
        table[name] = "property"
    return table
