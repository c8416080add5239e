"""asyncpg, as its documentation tells: a pool, con.transaction(), and statements that it prepares by itself."""
import asyncio
import sys

import asyncpg

from course import course_of_tasks

TABLE = "rows_of_asyncpg"


async def main():
    async with asyncpg.create_pool(sys.argv[1], min_size=2, max_size=4) as pool:
        await pool.execute(f"CREATE TABLE {TABLE} (key text, worker int)")

        async def write(worker, key):
            async with pool.acquire() as con:
                async with con.transaction():
                    await con.execute(f"INSERT INTO {TABLE} VALUES ($1, $2)", key, worker)
                    await con.fetchval(f"SELECT count(*) FROM {TABLE} WHERE worker = $1", worker)

        async def keys():
            return [row["key"] for row in await pool.fetch(f"SELECT key FROM {TABLE}")]

        await course_of_tasks(asyncpg.__version__, write, keys)


asyncio.run(main())
