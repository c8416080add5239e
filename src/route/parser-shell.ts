import { loadModule } from "libpg-query";

/** Loads PostgreSQL's grammar (WASM, about 20 ms and 12 MiB), once per process, before the first classification. */
export async function loadParser(): Promise<void> {
  await loadModule();
}
