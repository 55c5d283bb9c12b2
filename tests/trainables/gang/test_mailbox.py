"""The letter box by itself, without Ray: who waits for whom, and what a restarted gang is handed."""

import asyncio

import pytest

from ire.trial.message import Message
from trainables.gang.mailbox import Mailbox

RUNG = Message(notice="a rung")


def run(coroutine_of):
    async def bounded():
        return await asyncio.wait_for(coroutine_of(Mailbox()), 5)

    return asyncio.run(bounded())


async def waits(task: asyncio.Task) -> bool:
    await asyncio.sleep(0.02)
    return not task.done()


def test_messages_arrive_in_order_and_a_late_one_is_waited_for():
    async def go(box):
        number = await box.post({"job": 1})
        assert await box.take(0) == (number, {"job": 1})
        for i in range(3):
            assert await box.put(number, Message(prefix=i), False)
        assert [(await box.collect(number, 1)).prefix for _ in range(3)] == [0, 1, 2]
        assert await box.collect(number, 0.01) is None
        late = asyncio.create_task(box.collect(number, 1))
        assert await waits(late)
        await box.put(number, Message(prefix=3), False)
        assert (await late).prefix == 3

    run(go)


def test_a_rung_waits_for_the_verdict_go_on():
    async def go(box):
        number = await box.post({})
        rung = asyncio.create_task(box.put(number, RUNG, True))
        assert await waits(rung)
        assert await box.collect(number, 1) == RUNG
        assert await waits(rung), "delivered is not yet decided"
        following = asyncio.create_task(box.collect(number, 1))
        assert await rung is True
        await box.put(number, Message(), False)
        await following

    run(go)


@pytest.mark.parametrize("how", ["another job", "close"])
def test_a_rung_waits_for_the_verdict_stop(how):
    async def go(box):
        number = await box.post({})
        rung = asyncio.create_task(box.put(number, RUNG, True))
        await box.collect(number, 1)
        assert await waits(rung)
        await (box.close() if how == "close" else box.post({"next": True}))
        assert await rung is False
        assert not await box.put(number, Message(), False), "and the old job stands no more"

    run(go)


def test_a_job_is_handed_out_again_until_it_is_done_and_no_longer():
    async def go(box):
        number = await box.post({"job": 1})
        assert await box.take(0) == (number, {"job": 1})
        assert await box.take(0) == (number, {"job": 1}), "the gang was restarted"
        assert await box.put(number, Message(last=True), False) is False
        waiting = asyncio.create_task(box.take(0))
        assert await waits(waiting)
        following = await box.post({"job": 2})
        assert await waiting == (following, {"job": 2})

    run(go)


def test_closing_sends_the_gang_home():
    async def go(box):
        waiting = asyncio.create_task(box.take(0))
        assert await waits(waiting)
        await box.close()
        assert await waiting is None

    run(go)
