"""Words of building regulations, by the part they play in a requirement. Data only; ``features`` reads it.

Curated by hand for this project from general knowledge of English-language building codes. Multi-word entries are
matched longest first, lower-cased, word by word.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> tuple[tuple[str, ...], ...]:
    """Phrases separated by commas, longest first."""
    phrases = {tuple(phrase.split()) for phrase in text.replace("\n", " ").split(",") if phrase.strip()}
    return tuple(sorted(phrases, key=lambda phrase: (-len(phrase), phrase)))


COMPARATORS = _phrases(
    """
    greater than or equal to, less than or equal to, more than or equal to, equal to or greater than,
    equal to or less than, equal to or more than, not less than, no less than, not be less than, not fewer than,
    no fewer than, not be fewer than, not more than, no more than, not be more than, not greater than,
    no greater than, not be greater than, not exceed, not exceeding, not to exceed, no larger than, not larger than,
    no smaller than, not smaller than, no higher than, not higher than, no lower than, not lower than,
    no wider than, not wider than, no closer than, not closer than, no longer than, not longer than,
    no narrower than, not narrower than, not below, not above, not under, not over, greater than, larger than,
    smaller than, higher than, lower than, wider than, narrower than, longer than, shorter than, taller than,
    deeper than, thicker than, thinner than, steeper than, flatter than, closer than, further than, more than,
    less than, fewer than, at least, at most, as a minimum, as a maximum, a minimum of, a maximum of, minimum of,
    maximum of, minimum, maximum, min, max, in excess of, exceed, exceeds, exceeding, exceeded, equal to, equals,
    or more, or less, or greater, or fewer, or above, or below, ≥, ≤, ⩾, ⩽, ≧, ≦, >, <, =, >=, <=
    """
)

COMPARATORS_BEFORE_NUMBER = _phrases(
    "up to, under, over, above, below, within, between, from, exactly, is, equal, beyond"
)
"""Comparators only where a number follows (``within 5 m``, but not ``within the building``)."""

DEONTICS = _phrases(
    """
    is required to, are required to, is permitted to, are permitted to, is allowed to, are allowed to, is to be,
    are to be, has to, have to, need to, needs to, is not required to, are not required to, is prohibited,
    are prohibited, is permitted, are permitted, is allowed, are allowed, is required, are required, is forbidden,
    are forbidden, shall, must, may, should, can, cannot, need, ought, required, permitted, allowed, prohibited,
    forbidden, mandatory, obliged, acceptable to
    """
)

CONDITIONS = _phrases(
    """
    in the case of, in the event of, in case of, as long as, so long as, subject to, only where, only if, only when,
    except that, except where, except when, except if, except for, other than, apart from, provided that,
    on condition that, given that, in addition to, where, wherever, when, whenever, if, unless, except, excluding,
    while, until, once, otherwise, whether, in which case
    """
)

NEGATIONS = _words("not no without neither nor never none nothing")

UNIT_SYMBOLS = _words(
    """
    mm cm km m² m2 m^2 m³ m3 m^3 mm2 mm² mm3 mm³ l/s l/min l/h kpa mpa hpa kn kw kwh mj kj db dba dbw lx lux °c °f degc
    kg kg/m2 kg/m3 kg/m² kg/m³ g/m2 g/m² kn/m2 kn/m² w/m2 w/m² w/m²k w/m2k m/s m3/h m³/h m3/s m³/s mj/m2 mj/m² % ‰ °
    percent ms hz khz ppm m2.k/w m²k/w m2k/w dm3 dm³ mg
    """
)
UNIT_NAMES = _words(
    """
    millimetre millimetres millimeter millimeters centimetre centimetres metre metres
    meter meters kilometre kilometres litre litres liter liters kilogram kilograms gram grams tonne tonnes newton
    newtons kilonewton kilonewtons pascal pascals kilopascal kilopascals watt watts kilowatt kilowatts joule joules
    volt volts amp amps ampere amperes hertz decibel decibels degree degrees celsius second seconds minute minutes hour
    hours day days week weeks month months year years lumen lumens
    """
)
"""Units only after a number, another unit or ``per``: a water meter, a second exit and the hours of use have none."""
UNITS = UNIT_SYMBOLS | UNIT_NAMES
UNITS_AFTER_NUMBER = _words(
    """
    m s h d g l t L W N A K V J pa bar cent square cubic linear air change changes times points storey storeys
    ft feet foot inch inches ft² ft2 in² in2 psf psi lb lbs cfm
    """
)
"""Units only directly after a number, another unit or ``per`` (``5 m``, but not ``m)`` as a list letter).

Single letters count in the case written here: ``10 A`` is a current, ``10 a`` is not.
"""

AFTER_INCHES = _words(
    "shall must may is are wide deep high long thick clear diameter nominal minimum maximum or and by x"
)
"""Words before which ``in`` after a number is a unit."""

GRADES = _words("grade grades class classes size sizes strength")
"""Words before the name of a grade or a size (``grade C16``)."""

FRACTION_WORDS = _words("halves thirds quarters fifth fifths sixth sixths eighth eighths tenth tenths")
"""Second parts of numbers with a hyphen (``two-thirds``)."""

COUNTED = _words("person persons people occupant occupants")
"""Units where something is counted per them, or they per something (``5 l/s per person``); otherwise objects."""

FIRE_CLASSES = _words("R E I EI RE REI EW REW EI1 EI2")
FIRE_MINUTES = _words("10 15 20 30 45 60 90 120 180 240 360")
"""Fire-resistance classes and their periods (EN 13501-2)."""

NUMBER_WORDS = _words(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand half third quarter
    twice
    """
)

REFERENCE_HEADS = _words(
    """
    table tables figure figures fig paragraph paragraphs para clause clauses section sections appendix appendices
    part parts schedule annex chapter equation volume rule rules
    """
)
"""Words that open a reference where an identifier follows (``Table 3``, but not ``part of the building``)."""

STANDARD_BODIES = _words(
    "nzs as as/nzs nzs/as bs en iso iec din astm nfpa ansi nzbc snz bca ncc ts pd aci ashrae cibse sfs nza pas cas/nzs"
)

FUNCTION_WORDS = _words(
    """
    a an the this that these those any each every all some such both either and or but of to in on at by for with
    from into onto through via as per than then so be is are was were been being am it its they their them there
    which who whose whom what how also only same other others another more most less least very too above below
    under over between within outside inside against along across around near up down out off after before during
    have has had having do does did done will would could might should must shall may can i ii iii iv v vi vii viii
    ix x e.g i.e etc using use used shown given made provided comply complies complying conform conforms conforming
    accordance according follows following include includes including included apply applies applied see refer
    refers required necessary achieve achieved ensure ensures installed fixed located constructed designed formed
    specified described outlined based limited likely serve serves serving served meet meets satisfy satisfies
    allow allows permit permits prevent prevents supply supplies supplied connected protected measured placed laid
    exceed exceeds contain contains containing allowing not no nor new one ones
    """
)

DETERMINERS = _words("a an the this that these those any each every all some such both either no its their")

PROPERTIES = _words(
    """
    width height depth length thickness area volume slope gradient pitch fall clearance distance spacing separation
    gap diameter radius size dimension capacity load pressure temperature rate flow velocity speed ratio rating
    resistance strength level angle rise going tread headroom setback projection cover overlap lap cross-fall
    crossfall falls concentration illuminance luminance illumination brightness luminosity intensity frequency
    number density weight mass span centres centre-to-centre stiffness durability r-value u-value transmittance
    reflectance loudness noise content efficiency power energy consumption occupancy permeability absorption
    ventilation duration time age class classification group grade category type colour contrast position location
    direction orientation elevation airflow ventilation-rate hardness toughness perimeter circumference extent
    frr moisture-content openness leakage force drop turnover lifetime exposure amount quantity value gauge percentage
    """
)

OBJECTS = _words(
    """
    building buildings dwelling house apartment unit storey floor wall roof ceiling room space kitchen bathroom
    bedroom toilet laundry garage corridor lobby foyer stair stairs stairway stairwell step landing ramp door
    doorway doorset gate window opening glazing pane glass handrail balustrade barrier guardrail guard parapet
    balcony deck veranda porch path route exit exitway egress escape passage accessway access walkway bridge lift
    elevator escalator shaft riser duct pipe pipework drain drainage sewer gully trap vent stack valve tap basin
    bath shower sink pan cistern tank cylinder heater boiler pump meter fitting fixture outlet inlet manhole chamber
    sump gutter downpipe spouting spreader soakpit swale catchment overflow culvert channel flashing cladding lining
    underlay membrane insulation barrier sealant joint seal fixing fastener nail screw bolt bracket strap hanger tie
    anchor beam joist rafter purlin truss stud plate lintel bearer pile post column foundation footing slab
    pavement ground site boundary fence pool chimney flue hearth fireplace appliance firecell compartment
    separation sprinkler alarm detector hydrant hose extinguisher smoke fire signage sign lighting luminaire light
    switch socket outlet wiring cable conduit fan louvre grille diffuser filter hood cavity batten weatherboard
    brick block veneer concrete timber steel aluminium copper masonry plaster plywood tile shingle sheet board
    panel frame framing bracing brace wall-panel partition occupant person user people child wheelchair vehicle
    carpark parking garage stall bay aisle seat seating bed container bin waste wastes refuse water hot-water
    rainwater stormwater wastewater foulwater air gas fuel soil backfill bedding trench fill aggregate mortar grout
    reinforcement bar mesh rebar rod collector panel antenna tower mast sleeve hatch skylight canopy awning eave
    eaves soffit fascia barge ridge valley hip verge penetration threshold sill jamb mullion lock latch hinge closer
    device system equipment plant machine unit element member component assembly product material surface edge
    corner end face side top bottom base structure construction installation facility facilities accommodation
    car park generator home library pit plenum tray button pack screen head grating damper kerb courtyard
    basement stairwell lobby driveway entrance dwelling backflow school hospital office shop factory warehouse theatre
    hall workshop hotel hostel
    """
)
