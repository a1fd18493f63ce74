"""Signal heads show the state of their links, and never green to crossing streets."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from data_prep.miniworld.world import road_network
from data_prep.miniworld.world.town import load_town


def test_a_head_shows_what_its_links_show():
    assert road_network.signal_state("GgrryrrG", (0, 1)) == "g"
    assert road_network.signal_state("yyrr", (0, 1)) == "y"
    assert road_network.signal_state("GGrr", (2, 3)) == "r"


def test_lights_never_give_green_to_crossing_streets():
    yaw = {signal.id.rsplit(".", 1)[0]: signal.yaw for signal in load_town().signals}
    for light in road_network.read_net().getTrafficLights():
        for program in _programs(light.getID()):
            green = [
                e
                for e, (i, k) in road_network.signal_links().items()
                if i == light.getID() and road_network.signal_state(program, k) == "g"
            ]
            for a in green:
                for b in green:
                    assert abs(np.cos(yaw[a] - yaw[b])) > 0.7, f"{light.getID()} gives green to {a} and {b}"


def _programs(light):
    return [
        p.get("state") for p in ElementTree.parse(road_network.NET_FILE).find(f"tlLogic[@id='{light}']").iter("phase")
    ]
