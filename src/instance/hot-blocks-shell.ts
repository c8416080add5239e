import type { Postgres } from "../engine/index.ts";
import { bufferFunctionSql, hotRangesSql, packRanges } from "./hot-blocks.ts";
import type { HotBlocks } from "./messages.ts";
import { connectAgent } from "./postgres-shell.ts";

/** What this writer's PostgreSQL has in its shared buffers. Raises what PostgreSQL raises: without contrib it has no list. */
export async function readHotBlocks(postgres: Pick<Postgres, "address">): Promise<HotBlocks> {
  const client = await connectAgent(postgres);
  try {
    const { rows: found } = await client.query(bufferFunctionSql.find);
    if (found[0]?.[0] == null) await client.query(bufferFunctionSql.create);
    const { rows } = await client.query(hotRangesSql);
    return packRanges(
      rows.map((row) => {
        const [database = 0, filenode = 0, fork = 0, firstBlock = 0, blocks = 0] = row.map(Number);
        return { database, filenode, fork, firstBlock, blocks };
      }),
    );
  } finally {
    client.destroy();
  }
}
