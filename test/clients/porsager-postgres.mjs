// porsager's postgres, as its documentation tells: tagged templates, which it prepares and pipelines, and sql.begin.
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { course } from "./course.mjs";

const sql = postgres(process.argv[2], { max: 4 });
await sql`CREATE TABLE rows_of_porsager (key text, worker int)`;
const folder = dirname(dirname(fileURLToPath(import.meta.resolve("postgres"))));

await course({
  version: JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).version,
  write: (worker, key) =>
    sql.begin(async (tx) => {
      await tx`INSERT INTO rows_of_porsager VALUES (${key}, ${worker})`;
      await tx`SELECT count(*) FROM rows_of_porsager WHERE worker = ${worker}`;
    }),
  async keys() {
    return (await sql`SELECT key FROM rows_of_porsager`).map(({ key }) => key);
  },
});
await sql.end();
