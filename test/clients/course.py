"""What every program here does, for those in Python: several workers write, one transaction after another, until
standard input ends; then everything that was acknowledged must be there, once. The last line printed is the report."""
import asyncio
import json
import sys
import threading
import time

WORKERS = 3
REST_SECONDS = 0.01


class Report:
    def __init__(self):
        self.acknowledged = []
        self.errors = []

    def error(self, key, error):
        """An ORM wraps the driver's error, which has the SQLSTATE."""
        code = ""
        at = error
        while at is not None and not code:
            at_code = getattr(at, "sqlstate", None) or getattr(at, "pgcode", None)
            code = at_code or ""
            at = getattr(at, "orig", None) or at.__cause__
        self.errors.append({"key": key, "code": code, "message": f"{type(error).__name__}: {error}"})

    def print(self, version, found):
        told = {"version": version, "acknowledged": self.acknowledged, "errors": self.errors, "found": found}
        print(json.dumps(told), flush=True)


def course(version, write, keys, close=lambda: None):
    """With threads: write(worker, key) commits a row with this key in a transaction; keys() gives those of all rows;
    close() lets go of what the calling thread has open."""
    report = Report()
    stopping = threading.Event()

    def work(worker):
        n = 0
        while not stopping.is_set():
            key = f"{worker}:{n}"
            n += 1
            try:
                write(worker, key)
                report.acknowledged.append(key)
            except Exception as error:
                report.error(key, error)
            time.sleep(REST_SECONDS)
        close()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(WORKERS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()
    report.print(version, keys())
    close()


async def course_of_tasks(version, write, keys):
    """The same with asyncio: write and keys are coroutines."""
    report = Report()
    stopping = asyncio.Event()

    async def work(worker):
        n = 0
        while not stopping.is_set():
            key = f"{worker}:{n}"
            n += 1
            try:
                await write(worker, key)
                report.acknowledged.append(key)
            except Exception as error:
                report.error(key, error)
            await asyncio.sleep(REST_SECONDS)

    tasks = [asyncio.create_task(work(worker)) for worker in range(WORKERS)]
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    stopping.set()
    await asyncio.gather(*tasks)
    report.print(version, await keys())
