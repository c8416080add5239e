// node-postgres, as its documentation tells: a pool, a client of it per transaction, a named statement.
import { createRequire } from "node:module";
import pg from "pg";
import { course } from "./course.mjs";

const pool = new pg.Pool({ connectionString: process.argv[2], max: 4 });
// Idle clients that lose their connection tell it here, and are replaced.
const lost = [];
pool.on("error", (error) => lost.push(String(error)));
await pool.query("CREATE TABLE rows_of_node_postgres (key text, worker int)");

await course({
  version: createRequire(import.meta.url)("pg/package.json").version,
  async write(worker, key) {
    if (lost.length > 0) throw new Error(`an idle client was lost: ${lost.pop()}`);
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      const text = "INSERT INTO rows_of_node_postgres VALUES ($1, $2)";
      await client.query({ name: "insert", text, values: [key, worker] });
      const count = "SELECT count(*) FROM rows_of_node_postgres WHERE worker = $1";
      await client.query({ name: "count", text: count, values: [worker] });
      await client.query("COMMIT");
    } catch (error) {
      await client.query("ROLLBACK").catch(() => undefined);
      throw error;
    } finally {
      client.release();
    }
  },
  async keys() {
    const { rows } = await pool.query("SELECT key FROM rows_of_node_postgres");
    return rows.map(({ key }) => key);
  },
});
await pool.end();
