"""What the synthetic clauses speak of: contexts, objects, properties with plausible values, accessories, conditions.

Every property carries the range that a building professional would find plausible for *this* object; the ranges are
ours, written after the style of published acceptable solutions, and are not a building code.
"""

from __future__ import annotations

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

    Without places of its own, an object stands in those of its context.
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


def _item(name: str, properties: str, accessories: str, materials: str = "", *, places: str = "") -> Item:
    """Read ``name unit low..high/step limit; ...`` so that the tables below stay readable."""
    parsed = []
    for entry in properties.split(";"):
        *words, unit, numbers, limit = entry.split()
        span, step = numbers.split("/")
        low, high = span.split("..")
        parsed.append(Property(" ".join(words), unit, float(low), float(high), float(step), limit))
    return Item(name, tuple(parsed), _list(accessories), _list(materials), _list(places))


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


CONTEXTS: tuple[Context, ...] = (
    Context(
        "fire",
        "C",
        ("Means of escape", "Fire separation", "Fire safety systems"),
        (
            _item(
                "exit door",
                "clear width mm 760..1200/10 min; opening force N 40..110/5 max",
                "vision panel, panic bolt, exit sign",
                "steel, timber",
            ),
            _item(
                "escape route",
                "width mm 850..1500/50 min; length m 18..60/2 max",
                "exit sign, smoke curtain, handrail",
                places="basement, lobby",
            ),
            _item(
                "fire door",
                "fire resistance minutes 30..120/30 min; closing time s 5..25/5 max",
                "door closer, vision panel, smoke seal",
                "steel, timber",
            ),
            _item(
                "fire wall",
                "fire resistance minutes 60..240/30 min; thickness mm 100..240/10 min",
                "fire collar, smoke seal",
                "concrete, brick",
                places="basement, plant room",
            ),
            _item(
                "smoke detector",
                "spacing m 5..12/0.5 max; mounting height m 2.4..4.2/0.1 max",
                "test button, warning light",
            ),
            _item(
                "sprinkler head", "coverage area m2 9..21/1 max; spacing m 2.4..4.6/0.2 max", "wire guard, cover plate"
            ),
            _item(
                "emergency light",
                "illuminance lux 1..10/1 min; duration minutes 30..180/30 min",
                "test button, battery pack",
            ),
        ),
        ("basement", "stairwell", "plant room", "lobby"),
        ("NZS 4541", "AS 1670", "NZS 4512"),
    ),
    Context(
        "access",
        "D",
        ("Access routes", "Accessible facilities", "Stairs and ramps"),
        (
            _item(
                "ramp",
                "width mm 900..1500/50 min; gradient : 8..20/1 max",
                "handrail, kerb, landing",
                "concrete, timber, steel",
                places="lobby, courtyard, car park",
            ),
            _item(
                "stair",
                "riser height mm 140..190/5 max; tread depth mm 250..355/5 min; width mm 900..1500/50 min",
                "handrail, landing, nosing strip",
                "concrete, timber, steel",
            ),
            _item(
                "handrail",
                "height mm 850..1000/10 both; diameter mm 32..50/2 both",
                "end return, wall bracket",
                "steel, timber",
            ),
            _item(
                "corridor",
                "width mm 1200..1800/50 min; ceiling height mm 2100..2700/50 min",
                "handrail, direction sign",
                places="lobby, basement",
            ),
            _item(
                "lift car",
                "width mm 1100..1600/50 min; depth mm 1400..2100/50 min",
                "handrail, mirror, call button",
                places="lobby, car park",
            ),
            _item(
                "doorway", "clear width mm 760..1000/10 min; threshold height mm 5..20/1 max", "door closer, kick plate"
            ),
            _item(
                "parking space",
                "width mm 2400..3600/100 min; length mm 5000..6000/100 min",
                "wheel stop, direction sign",
                places="basement, courtyard, car park",
            ),
        ),
        ("lobby", "courtyard", "car park", "stairwell"),
        ("NZS 4121", "AS 1428", "NZS 4332"),
    ),
    Context(
        "drainage",
        "E",
        ("Surface water", "Foul water drains", "Disposal systems"),
        (
            _item(
                "drain",
                "diameter mm 65..225/5 min; gradient : 40..120/5 min; cover depth mm 300..900/50 min",
                "inspection point, bedding layer",
                "clay, concrete, copper",
            ),
            _item(
                "gutter",
                "width mm 100..200/5 min; depth mm 60..150/5 min",
                "leaf guard, overflow outlet",
                "steel, copper",
                places="courtyard, driveway, car park",
            ),
            _item(
                "downpipe",
                "diameter mm 60..150/5 min; catchment area m2 40..120/5 max",
                "leaf guard, spreader",
                "steel, copper",
                places="courtyard, driveway, car park",
            ),
            _item("gully trap", "water seal mm 50..75/5 min; rim height mm 25..150/25 min", "grating, surround"),
            _item(
                "manhole",
                "diameter mm 900..1200/50 min; spacing m 50..100/5 max",
                "step iron, sealed cover",
                "concrete, brick",
                places="courtyard, driveway, car park",
            ),
            _item(
                "sump", "volume L 60..450/10 min; depth mm 450..1200/50 min", "grating, sediment trap", "concrete, clay"
            ),
            _item(
                "soak pit",
                "boundary distance m 1..5/0.5 min; depth m 0.8..3/0.1 max",
                "sediment trap, inspection point",
                places="courtyard, driveway",
            ),
        ),
        ("courtyard", "driveway", "basement", "car park"),
        ("NZS 3500", "AS 1254", "NZS 7643"),
    ),
    Context(
        "structure",
        "B",
        ("Floor framing", "Foundations", "Walls and roofs"),
        (
            _item(
                "floor joist",
                "span mm 1500..6000/100 max; spacing mm 300..600/50 max; depth mm 140..290/10 min",
                "solid blocking, joist hanger",
                "timber, steel",
            ),
            _item(
                "rafter",
                "span mm 1200..5400/100 max; spacing mm 480..1200/60 max",
                "collar tie, wind brace",
                "timber, steel",
                places="garage, roof space",
            ),
            _item(
                "timber stud",
                "height mm 2400..4800/100 max; spacing mm 300..600/50 max",
                "wind brace, solid blocking",
                places="garage, basement",
            ),
            _item(
                "footing",
                "depth mm 200..600/50 min; width mm 240..600/20 min; concrete strength MPa 17.5..40/2.5 min",
                "starter bar, levelling pad",
                "concrete",
            ),
            _item(
                "anchor bolt",
                "spacing mm 600..1400/100 max; embedment mm 75..150/5 min; diameter mm 10..20/2 min",
                "square washer, locking nut",
                "steel",
            ),
            _item(
                "floor slab",
                "thickness mm 85..200/5 min; live load kPa 1.5..5/0.5 max",
                "damp barrier, starter bar",
                "concrete",
            ),
            _item(
                "retaining wall",
                "height m 0.6..3/0.1 max; surcharge kPa 2.5..10/0.5 max",
                "weep hole, drainage layer",
                "concrete, timber, brick",
                places="garage, basement, driveway",
            ),
        ),
        ("garage", "basement", "roof space", "balcony"),
        ("NZS 3604", "NZS 3101", "AS 1720"),
    ),
    Context(
        "ventilation",
        "G",
        ("Natural ventilation", "Mechanical ventilation", "Air quality"),
        (
            _item(
                "kitchen",
                "ventilation rate L/s 40..120/2 min; window area m2 0.8..3/0.1 min",
                "range hood, extract fan",
                places="basement, mezzanine",
            ),
            _item(
                "bathroom",
                "ventilation rate L/s 15..50/1 min; window area m2 0.3..1.5/0.1 min",
                "extract fan, roof vent",
                places="basement, mezzanine",
            ),
            _item(
                "exhaust duct",
                "length m 2..12/0.5 max; diameter mm 100..250/25 min; air speed m/s 2..8/0.5 max",
                "fire damper, access panel",
                "steel, aluminium",
            ),
            _item(
                "air filter",
                "efficiency % 60..95/5 min; pressure drop Pa 50..250/10 max",
                "pressure gauge, access panel",
            ),
            _item(
                "air intake",
                "height m 1.5..6/0.5 min; outlet distance m 3..12/0.5 min",
                "insect screen, weather louvre",
                "steel, aluminium",
            ),
            _item(
                "extract fan", "flow rate L/s 25..150/5 min; noise level dB 30..55/1 max", "timer switch, insect screen"
            ),
            _item(
                "plenum",
                "depth mm 250..900/50 min; leakage rate L/s 1..10/0.5 max",
                "access panel, drain tray",
                "steel, aluminium",
            ),
        ),
        ("basement", "plant room", "roof space", "car park"),
        ("NZS 4303", "AS 1668", "AS 1324"),
    ),
    Context(
        "envelope",
        "H",
        ("External moisture", "Thermal insulation", "Roofs and claddings"),
        (
            _item(
                "wall cladding",
                "ground clearance mm 100..225/5 min; cavity depth mm 18..50/1 min",
                "cavity closer, corner trim",
                "brick, timber, steel",
                places="balcony, garage",
            ),
            _item(
                "roof",
                "pitch deg 3..35/1 min; overhang mm 150..900/50 min",
                "ridge vent, snow guard",
                "steel, clay, concrete",
                places="garage, balcony",
            ),
            _item(
                "window",
                "sill height mm 600..1100/20 min; glazed area m2 0.6..4.2/0.2 max",
                "sill tray, safety stay",
                "timber, aluminium",
                places="garage, stairwell",
            ),
            _item(
                "flashing",
                "cover mm 35..200/5 min; thickness mm 0.4..1.2/0.1 min",
                "drip edge, stop end",
                "steel, copper, aluminium",
            ),
            _item(
                "insulation panel",
                "thickness mm 100..300/10 min; thermal resistance m2K/W 2.9..7/0.1 min",
                "vapour barrier, support strap",
                places="garage, roof space",
            ),
            _item(
                "skylight",
                "glazed area m2 0.4..3/0.1 max; upstand height mm 90..250/10 min",
                "condensation channel, safety stay",
                "aluminium",
                places="garage, stairwell",
            ),
            _item(
                "parapet",
                "height mm 300..1100/50 both; crossfall deg 3..10/1 min",
                "saddle flashing, overflow outlet",
                "concrete, brick",
                places="balcony, courtyard",
            ),
        ),
        ("balcony", "roof space", "courtyard", "garage"),
        ("NZS 4246", "NZS 4218", "AS 2050"),
    ),
    Context(
        "lighting",
        "L",
        ("Artificial light", "Electrical safety", "Control of lighting"),
        (
            _item(
                "light fitting",
                "illuminance lux 20..320/20 min; mounting height m 2.1..4.5/0.1 min",
                "diffuser, wire guard",
                "steel, aluminium",
            ),
            _item(
                "socket outlet",
                "height mm 300..1200/50 both; basin distance mm 400..1200/50 min",
                "safety shutter, cover plate",
            ),
            _item(
                "switchboard",
                "clearance mm 600..1200/50 min; height mm 1200..2000/50 max",
                "main switch, warning label",
                "steel",
            ),
            _item(
                "light switch",
                "height mm 900..1200/20 both; door distance mm 100..300/20 max",
                "indicator lamp, cover plate",
            ),
            _item(
                "cable tray",
                "depth mm 50..150/10 min; support spacing mm 600..3000/100 max",
                "earth strap, drip edge",
                "steel, aluminium",
            ),
            _item(
                "street lamp",
                "spacing m 20..50/2 max; pole height m 4..12/0.5 min",
                "base cover, photo cell",
                "steel, aluminium",
                places="courtyard, car park, driveway",
            ),
            _item(
                "battery room",
                "ventilation rate L/s 10..80/2 min; temperature degC 15..30/1 max",
                "extract fan, warning label",
                places="basement, plant room",
            ),
        ),
        ("stairwell", "plant room", "car park", "lobby"),
        ("NZS 3000", "AS 1680", "NZS 6703"),
    ),
    Context(
        "plumbing",
        "P",
        ("Water supplies", "Hot water", "Sanitary fixtures"),
        (
            _item(
                "water heater",
                "capacity L 90..450/10 min; water temperature degC 60..75/1 min",
                "relief valve, drain tray",
                "steel, copper",
            ),
            _item(
                "water pipe",
                "diameter mm 15..50/5 min; pressure kPa 200..500/10 max",
                "isolating valve, pipe sleeve",
                "copper, steel",
            ),
            _item(
                "basin",
                "water temperature degC 38..50/1 max; flow rate L/s 0.1..0.4/0.1 min; rim height mm 750..900/10 max",
                "overflow outlet, mixing valve",
                "steel",
            ),
            _item(
                "shower", "water temperature degC 38..50/1 max; floor area m2 0.8..2/0.1 min", "mixing valve, grab bar"
            ),
            _item(
                "water tank",
                "capacity L 200..2000/50 min; air gap mm 20..50/5 min",
                "overflow outlet, sealed cover",
                "steel, concrete",
            ),
            _item(
                "relief valve",
                "pressure kPa 500..1000/50 max; drain diameter mm 15..40/5 min",
                "test lever, pressure gauge",
                "copper",
            ),
            _item(
                "water meter",
                "flow rate L/s 0.2..2/0.2 min; cover depth mm 300..600/50 min",
                "isolating valve, sealed cover",
            ),
        ),
        ("basement", "roof space", "plant room", "garage"),
        ("NZS 4305", "AS 1357", "NZS 4607"),
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


def context_named(name: str) -> Context:
    """The context of that name; KeyError otherwise."""
    return {context.name: context for context in CONTEXTS}[name]


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
