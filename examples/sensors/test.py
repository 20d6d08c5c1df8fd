"""Plays the sensors, kills the dashboard and the alarm service in the middle, and checks what each saw.

Needs a broker at AMQP_URL, Node with npm, and pika. Deletes the story's queues and exchange there.
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))

import story as stories  # noqa: E402
from story import check, equal, eventually  # noqa: E402

DASHBOARD, ALARM = "sensors.dashboard", "sensors.alarm"
LIMIT, PREFETCH = 25.0, 50  # the prefetch is that of dashboard and alarm
COUNT, KINDS = 150, 3
# The last one's keys have four words: the dashboard gets them, the alarm service must not.
PLACES = ["berlin.mill", "berlin.tower", "lisbon.docks", "berlin.mill.cellar"]


def prepare(_directory):
    if not (HERE / "dashboard" / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=HERE / "dashboard", check=True)


def readings(service, mark=""):
    """The (key, number, value) in a service's lines, which begin with `mark`."""
    lines = service.lines()
    for line in lines:
        check(line.startswith(mark) and "#" in line, f"{service.name} said {line!r}")
    return [tuple(line.removeprefix(mark).split()[:3]) for line in lines]


def alarming(reading):
    key, _, value = reading
    return key.count(".") == 2 and key.endswith(".temperature") and float(value) > LIMIT


def play(story):
    python = sys.executable
    sensors = [story.service(place, python, HERE / "sensors.py", place, "--count", COUNT,
                             "--interval", "0.01") for place in PLACES]
    dashboard = story.service("dashboard", "node", HERE / "dashboard" / "main.js")
    alarm = story.service("alarm", python, HERE / "alarm.py", LIMIT)
    for service, queue in (dashboard, DASHBOARD), (alarm, ALARM):
        service.start()
        eventually(lambda: story.queue(queue) == (0, 1), f"{queue} has a consumer")  # noqa: B023

    for sensor in sensors:
        sensor.start()
    total = len(PLACES) * COUNT * KINDS
    eventually(lambda: len(readings(dashboard)) >= total // 4, "the dashboard is at work")
    eventually(lambda: readings(alarm, "ALARM "), "the alarm service is at work")
    dashboard.freeze()
    alarm.freeze()
    eventually(lambda: all(story.queue(queue)[0] > 0 for queue in (DASHBOARD, ALARM)),
               "as many readings as the prefetch allows are unacknowledged, and the others wait")
    dashboard.kill()
    alarm.kill()
    check(len(readings(dashboard)) < total, "the dashboard was killed in the middle")
    eventually(lambda: all(story.queue(queue)[0] > PREFETCH for queue in (DASHBOARD, ALARM)),
               "the unacknowledged readings are back in the queues")
    dashboard.start()
    alarm.start()

    for sensor in sensors:
        sensor.finish()
    sent = [reading for sensor in sensors for reading in readings(sensor)]
    equal((len(sent), len(set(sent))), (total, total), "readings sent")
    hot = set(filter(alarming, sent))
    eventually(lambda: len(set(readings(dashboard))) >= total, "the dashboard saw every reading")
    eventually(lambda: len(set(readings(alarm, "ALARM "))) >= len(hot), "every alarm was raised")
    eventually(lambda: story.queue(ALARM)[0] == 0, "the alarm service's queue is empty")
    dashboard.stop()
    alarm.stop()
    for service, queue, mark, expected in ((dashboard, DASHBOARD, "", set(sent)),
                                           (alarm, ALARM, "ALARM ", hot)):
        seen = readings(service, mark)
        wrong = set(seen) ^ expected
        check(not wrong, f"{queue}: {len(wrong)} missed or not meant for it: {sorted(wrong)[:5]}")
        check(len(seen) - len(expected) <= PREFETCH, f"{queue}: more came twice than were under way")
        equal(story.queue(queue), (0, 0), f"messages left in {queue}, and consumers")


stories.run("sensors", prepare, play, queues=[DASHBOARD, ALARM], exchanges=["readings"])
