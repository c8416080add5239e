// Drizzle over node-postgres, as its documentation tells: a schema, db.transaction, and a prepared insert.
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { readFileSync } from "node:fs";
import pg from "pg";
import { course } from "./course.mjs";

const pool = new pg.Pool({ connectionString: process.argv[2], max: 4 });
const lost = [];
pool.on("error", (error) => lost.push(String(error)));
const db = drizzle(pool);
const table = pgTable("rows_of_drizzle", { key: text("key"), worker: integer("worker") });
await db.execute(sql`CREATE TABLE rows_of_drizzle (key text, worker int)`);

await course({
  version: JSON.parse(
    readFileSync(new URL("package.json", import.meta.resolve("drizzle-orm")), "utf8"),
  ).version,
  write(worker, key) {
    if (lost.length > 0) throw new Error(`an idle client was lost: ${lost.pop()}`);
    return db.transaction(async (tx) => {
      const values = { key: sql.placeholder("key"), worker: sql.placeholder("worker") };
      await tx.insert(table).values(values).prepare("insert").execute({ key, worker });
    });
  },
  keys: async () => (await db.select({ key: table.key }).from(table)).map(({ key }) => key),
});
await pool.end();
