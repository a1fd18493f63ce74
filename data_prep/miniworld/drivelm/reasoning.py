"""DriveLM's prediction and planning questions: what the agents do next, what the ego should do, and why.

`named`: [(tag, `facts.Object`)], the most important first; `light`: (tag, `facts.Light`) or None. What the ego "should"
do is what it did in the simulation, where it obeys the traffic rules and collides with nobody.
"""

from data_prep.miniworld.drivelm.words import pair, sentence

LIGHT_MEANING = {"red": "Please wait.", "yellow": "Please wait.", "green": "Please proceed."}
FUTURE = {"going ahead": "Keep going straight.", "stopped": "Stationary."}
STATE = {"turn left": "turning left", "turn right": "turning right", "stopped": "stationary"}
NOTICE = (
    "What object should the ego vehicle notice first when the ego vehicle is getting to the next possible location? "
    "What is the state of the object that is first noticed by the ego vehicle and what action should the ego vehicle "
    "take? What object should the ego vehicle notice second when the ego vehicle is getting to the next possible "
    "location? What is the state of the object perceived by the ego vehicle as second and what action should the ego "
    "vehicle take? What object should the ego vehicle notice third? What is the state of the object perceived by the "
    "ego vehicle as third and what action should the ego vehicle take?"
)
RANKS = ("Firstly", "Secondly", "Thirdly")
GENTLER = {  # a safe alternative to what the ego does
    "keep going at the same speed": "decelerate gradually without braking",
    "accelerate and go ahead": "keep going at the same speed",
    "slow down and go ahead": "brake gently to a stop",
    "decelerate gradually without braking": "brake gently to a stop",
}
CLOSE, COMMON_REACH = 12.0, 25.0  # m
SURE, LIKELY = 0.2, 1.0  # m; a gap below them means a high, a medium probability of a collision


def prediction(facts, named, light):
    """The list of question and answer pairs about what happens next."""
    rows = []
    for tag, thing in named:
        fixed = thing.noun == "barrier"
        in_way = thing.in_path and thing.ahead
        rows.append(pair(f"Is {tag} a traffic sign or a road barrier?", "Yes." if fixed else "No."))
        rows.append(pair(f"Would {tag} be in the moving direction of the ego vehicle?", "Yes." if in_way else "No."))
        rows.append(pair(f"What is the future state of {tag}?", FUTURE.get(thing.motion) or sentence(thing.motion)))
    if light:
        tag, head = light
        rows.append(pair(f"Is {tag} a traffic sign or a road barrier?", "Yes."))
        rows.append(pair(f"What does {tag} mean?", LIGHT_MEANING[head.color]))
        rows.append(pair(f"What kind of traffic sign is {tag}?", "Traffic light."))
        rows.append(pair(f"In this scenario, what object is most likely to consider {tag}?", "The ego vehicle."))
    if named and light:
        question = f"Are {named[0][0]} and {light[0]} traffic signs?"
        rows.append(pair(question, "Only one of the boxes is a traffic sign."))
    order = _priority(named, light)[: len(RANKS)]
    if order:
        rows.append(
            pair(NOTICE, " ".join(_notice(facts, rank, *item) for rank, item in zip(RANKS, order, strict=False)))
        )
    return rows


def _priority(named, light):
    """Key objects as (tag, thing) in the order in which they determine the ego's action; a red light comes first."""
    if light is None:
        return named
    return [*named, light] if light[1].color == "green" else [light, *named]


def _notice(facts, rank, tag, thing):
    state = STATE.get(thing.motion, thing.motion) if hasattr(thing, "motion") else "a traffic sign"
    return f"{rank} notice that {tag}. The object is {state}, so the ego vehicle should {facts.action}."


def planning(facts, named, light):
    """The list of question and answer pairs about what the ego does."""
    rows = []
    for tag, thing in named:
        rows += _about(facts, tag, thing)
    if light:
        tag = light[0]
        rows.append(pair(f"Is it necessary for the ego vehicle to take {tag} into account?", "Yes."))
        question = f"Based on {tag} in this scene, what is the most possible action of the ego vehicle?"
        rows.append(pair(question, sentence(facts.action)))
    signal = f"{facts.light} light" if facts.light else "none"
    rows += [
        pair("What is the traffic signal that the ego vehicle should pay attention to?", sentence(signal)),
        pair("What is the target action of the ego vehicle?", sentence(facts.target)),
        pair("In this scenario, what are safe actions to take for the ego vehicle?", sentence(", ".join(_safe(facts)))),
        pair(
            "In this scenario, what are dangerous actions to take for the ego vehicle?",
            sentence(", ".join(_dangerous(facts))),
        ),
    ]
    if named or light:
        question = "What is the priority of the objects that the ego vehicle should consider?(in descending order)"
        rows.append(pair(question, ", ".join(tag for tag, _ in _priority(named, light)) + "."))
    return rows


def _about(facts, tag, thing):
    considered = thing.ahead and (thing.in_path or thing.risk < LIKELY)
    probability = "High." if thing.risk < SURE else "Medium." if thing.risk < LIKELY else "Low."
    because = f"The reason is {_reason(facts, thing, considered)}. The probability of this action is high."
    question = (
        f"What actions could the ego vehicle take based on {tag}? Why take this action and what's the probability?"
    )
    straight_on = "after the ego vehicle goes straight and keeps the same speed?"
    return [
        pair(
            f"Is {tag} an object that the ego vehicle should consider in the current scene?",
            "Yes." if considered else "No.",
        ),
        pair(question, f"The action is to {facts.action}. {because}"),
        pair(f"What is the probability of colliding with {tag} {straight_on}", probability),
        pair(f"What actions taken by the ego vehicle can lead to a collision with {tag}?", _collision(thing)),
    ]


def _reason(facts, thing, considered):
    if facts.light in ("red", "yellow") and facts.action in ("keep stationary", "brake gently to a stop"):
        return "to follow the traffic rules"
    if not considered:
        return "that there is no safety issue"
    return "to avoid a collision" if thing.noun == "pedestrian" else "to maintain a safe distance"


def _collision(thing):
    ahead, left = thing.place
    if thing.ahead and thing.distance < COMMON_REACH:
        if thing.in_path or abs(left) < 1.8:
            return "Accelerating and going straight."
        return f"Sharp {'left' if left > 0 else 'right'} turn."
    if not thing.ahead and abs(left) < 2.5 and ahead > -CLOSE:
        return "Back up."
    return "No such action will lead to a collision."


def _safe(facts):
    return [facts.action] + ([GENTLER[facts.action]] if facts.action in GENTLER else [])


def _dangerous(facts):
    """Actions that would soon violate a red or yellow light or come close to a road user."""
    near = [thing for thing in facts.objects if thing.distance < CLOSE]
    found = []
    if facts.light in ("red", "yellow") or any(thing.ahead and thing.in_path for thing in near):
        found.append("accelerate and go ahead")
    for side, sign in (("left", 1), ("right", -1)):
        if any(thing.ahead and not thing.in_path and sign * thing.place[1] > 1.0 for thing in near):
            found.append(f"turn {side}")
    if any(not thing.ahead and abs(thing.place[1]) < 2.5 for thing in near):
        found.append("back up")
    return found or ["none"]
