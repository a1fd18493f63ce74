"""DriveLM's perception questions: which objects are where, in which state, and which are important.

In every function `named` is [(tag, `facts.Object`)], the most important first; `light`: (tag, `facts.Light`) or None.
"""

from data_prep.miniworld.drivelm.facts import SECTORS
from data_prep.miniworld.drivelm.words import count, listing, number_word, pair, place, plural, sentence, with_article

ELEMENTS = (
    "Identify all the traffic elements in the front view, categorize them, determine their status, and predict the "
    "bounding box around each one. The output should be a list formatted as (c, s, x1, y1, x2, y2), where c represents "
    "the category, s denotes the status, and x1, y1, x2, y2 are the offsets of the top-left and bottom-right corners of "
    "the box relative to the center point."
)
IMPORTANT = (
    "What are the important objects in the current scene? Those objects will be considered for the future reasoning "
    "and driving decision."
)
# kinds of objects to ask for where there are none, in turn, so that not every answer is yes
PRESENCE = (("moving", "car"), ("parked", "car"), ("moving", "truck"), ("moving", "pedestrian"), ("stopped", "bus"))
SCENE_ITEMS = 4


def perception(facts, named, light, *, has_images=True):
    """The list of question and answer pairs. has_images: False leaves out what only an image shows."""
    groups = _groups(facts.objects)
    rows = []
    for sector, nouns in groups.items():
        rows.append(_objects(sector, nouns))
        rows += [_status(sector, noun, things) for noun, things in nouns.items() if not things[0].is_fixed]
    rows += _presence(groups)
    rows.append(pair("Please describe the current scene.", _scene(groups)))
    if named:
        rows.append(pair(IMPORTANT, _important(named, light)))
    if len(named) > 1:
        question = "What is the relative positioning of the important objects in the current scene?"
        rows.append(pair(question, _relative(named)))
    rows += _elements(facts.lights)[: None if has_images else 1]
    for tag, thing in named:
        if not thing.is_fixed:
            rows.append(pair(f"What is the observed status of object {tag}?", sentence(thing.status)))
            rows.append(pair(f"What is the moving status of object {tag}?", sentence(thing.motion)))
        if has_images:
            rows.append(pair(f"What is the visual description of {tag}?", sentence(thing.description)))
    if light and has_images:
        rows.append(pair(f"What is the visual description of {light[0]}?", sentence(f"{light[1].color} light")))
    return rows


def _groups(objects):
    """{sector: {noun: [objects]}}: sectors in the order of the cameras, nouns by falling number."""
    groups = {}
    for sector in SECTORS.values():
        here = [thing for thing in objects if thing.sector == sector]
        nouns = sorted({o.noun for o in here}, key=lambda noun: (-sum(o.noun == noun for o in here), noun))
        if nouns:
            groups[sector] = {noun: [o for o in here if o.noun == noun] for noun in nouns}
    return groups


def _objects(sector, nouns):
    things = [count(len(members), noun) for noun, members in nouns.items()]
    verb = "is" if len(next(iter(nouns.values()))) == 1 else "are"
    answer = f"There {verb} {listing(things)} {place(sector)} the ego car."
    return pair(f"What are objects to the {sector} of the ego car?", answer)


def _status(sector, noun, things):
    found = [thing.status for thing in things]
    states = sorted(set(found), key=lambda state: (-found.count(state), state))
    if len(things) == 1:
        question = f"What is the status of the {noun} that is to the {sector} of the ego car?"
        return pair(question, f"One {noun} is {states[0]}.")
    question = f"What is the status of the {plural(noun)} that are to the {sector} of the ego car?"
    if len(states) == 1:
        return pair(question, sentence(f"{count(len(things), noun)} are {states[0]}"))
    parts = []
    for state in states:
        number = found.count(state)
        which = f" of the {plural(noun)}" if not parts else ""
        parts.append(f"{number_word(number)}{which} {'is' if number == 1 else 'are'} {state}")
    return pair(question, sentence(parts[0] + ", and " + " and ".join(parts[1:])))


def _presence(groups):
    """For each sector with something in it, one question whose answer is yes (if any) and one whose answer is no."""
    rows = []
    for index, (sector, nouns) in enumerate(groups.items()):
        present = [(o.status, noun) for noun, things in nouns.items() for o in things if not o.is_fixed]
        turn = index % len(PRESENCE)
        absent = [kind for kind in PRESENCE[turn:] + PRESENCE[:turn] if kind not in present]
        for kinds, answer in ((present[:1], "Yes."), (absent[:1], "No.")):
            for status, noun in kinds:
                rows.append(pair(f"Are there {status} {plural(noun)} to the {sector} of the ego car?", answer))
    return rows


def _scene(groups):
    parts = []
    for sector, nouns in groups.items():
        for noun, things in nouns.items():
            for status in sorted({thing.status for thing in things}):
                number = sum(thing.status == status for thing in things)
                what = noun if things[0].is_fixed else f"{status} {noun}"
                parts.append((number, f"{count(number, what)} {place(sector)} the ego car"))
    if not parts:
        return "There is nothing to pay attention to in this scene; the road is empty."
    texts = listing([text for _, text in parts[:SCENE_ITEMS]])
    return f"There {'is' if parts[0][0] == 1 else 'are'} {texts}."


def _important(named, light):
    items = [f"{with_article(thing.description)} to the {thing.sector} of the ego vehicle" for _, thing in named]
    tags = [tag for tag, _ in named]
    if light:
        items.append(f"a {light[1].color} light to the {SECTORS[light[1].camera]} of the ego vehicle")
        tags.append(light[0])
    ids = f"The IDs of these objects are {listing(tags)}." if len(tags) > 1 else f"The ID of this object is {tags[0]}."
    return f"There is {listing(items)}. {ids}"


def _relative(named):
    parts = []
    for index, (tag, one) in enumerate(named):
        for other_tag, other in named[index + 1 :]:
            ahead, left = other.place[0] - one.place[0], other.place[1] - one.place[1]
            parts.append(f"{other_tag} is {_side(ahead, left)} of {tag}")
    return listing(parts) + "."


def _side(ahead, left):
    """The position of an object that is `ahead` and `left` meters from another one, in words."""
    along, across = "front" if ahead > 0 else "back", "left" if left > 0 else "right"
    if abs(left) <= 0.5 * abs(ahead):
        return "in front" if ahead > 0 else "at the back"
    return f"on the {across}" if abs(ahead) < 0.5 * abs(left) else f"on the {along} {across}"


def _elements(lights):
    front = [head for head in lights if head.camera == "CAM_FRONT"]
    question = "Is there any traffic element in the front view?"
    if not front:
        return [pair(question, "No, there are no traffic elements in the front view.")]
    boxes = [f"(traffic light, {head.color}, {', '.join(f'{v:.2f}' for v in head.box)})" for head in front]
    verb, these = ("is", "this traffic element") if len(front) == 1 else ("are", "these traffic elements")
    found = f"There {verb} {count(len(front), 'traffic element')} in the front view."
    return [
        pair(question, "Yes, there are some traffic elements in the front view."),
        pair(ELEMENTS, f"{found} The information of {these} is [{', '.join(boxes)}]."),
    ]
