"""A step is in flight from its start by the SDK until its result has been sent to Restate."""

import asyncio

from durable.held_steps import Steps


async def test_a_step_that_the_sdk_has_taken_is_in_flight_before_its_task_starts() -> None:
    waiting = {1: "a step", 2: "another"}
    steps = Steps(waiting)
    for handle in waiting:
        steps.add(handle)
    await steps.finished()
    del waiting[1]
    finished = asyncio.create_task(steps.finished())
    await asyncio.sleep(0)
    del waiting[2]  # in the turn in which the last step in flight ends
    steps.end(1)
    for _ in range(3):
        await asyncio.sleep(0)
        assert not finished.done()
    steps.end(2)
    await asyncio.wait_for(finished, 1)
