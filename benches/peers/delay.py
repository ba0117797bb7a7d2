"""Passes connections on to a server, each byte a while later: a store that is far away.

delay.py PORT TARGET_PORT MILLISECONDS PIDFILE: listens on 127.0.0.1:PORT. The delay is one way, and bandwidth stays
what it is. Its process id goes to PIDFILE once it listens.
"""

import asyncio
import os
import sys

PORT, TARGET, DELAY = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1000


async def later(reader, writer, delay):
    loop = asyncio.get_running_loop()
    queue = asyncio.Queue()

    async def send():
        while (item := await queue.get()) is not None:
            due, data = item
            await asyncio.sleep(max(0, due - loop.time()))
            writer.write(data)
            await writer.drain()
        writer.close()

    sender = asyncio.create_task(send())
    try:
        while data := await reader.read(1 << 18):
            queue.put_nowait((loop.time() + delay, data))
    except ConnectionError:
        pass
    queue.put_nowait(None)
    try:
        await sender
    except ConnectionError:
        pass


async def serve(reader, writer):
    to_reader, to_writer = await asyncio.open_connection("127.0.0.1", TARGET)
    await asyncio.gather(later(reader, to_writer, DELAY), later(to_reader, writer, 0))


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    with open(sys.argv[4], "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    async with server:
        await server.serve_forever()


asyncio.run(main())
