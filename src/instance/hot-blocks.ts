/**
 * Which blocks a writer works with, and where they lie in an instance's own files: physical copies have the same files, so
 * that what is hot in one can be read ahead in another.
 */
import type { HotBlocks } from "./messages.ts";

/** Blocks of one fork of one relation, without a gap that would be worth a seek. */
export interface HotRange {
  /** 0: shared by all databases. */
  readonly database: number;
  readonly filenode: number;
  /** 0 main, 1 free space map, 2 visibility map, 3 init. */
  readonly fork: number;
  readonly firstBlock: number;
  readonly blocks: number;
}

/** A control line takes 4 MiB: a range takes some thirty bytes. */
export const rangesMax = 50_000;
const fields = 5;
const blockBytes = 8192;
/** PostgreSQL's RELSEG_SIZE: files of 1 GiB. */
const blocksInFile = 131_072;
const forkEndings = ["", "_fsm", "_vm", "_init"];

export function packRanges(ranges: readonly HotRange[]): HotBlocks {
  return {
    ranges: ranges.flatMap(({ database, filenode, fork, firstBlock, blocks }) => [
      database,
      filenode,
      fork,
      firstBlock,
      blocks,
    ]),
  };
}

export function unpackRanges({ ranges }: HotBlocks): HotRange[] {
  const found: HotRange[] = [];
  for (let i = 0; i + fields <= ranges.length; i += fields) {
    const [database = 0, filenode = 0, fork = 0, firstBlock = 0, blocks = 0] = ranges.slice(i);
    found.push({ database, filenode, fork, firstBlock, blocks });
  }
  return found;
}

/** A stretch of one file; `file` is relative to the data directory. */
export interface FileStretch {
  readonly file: string;
  readonly atBytes: number;
  readonly bytes: number;
}

/** Undefined: a fork that is not known here. */
export function stretchesOf(range: HotRange): FileStretch[] {
  const { database, filenode, fork, firstBlock, blocks } = range;
  const ending = forkEndings[fork];
  if (ending === undefined) return [];
  const folder = database === 0 ? "global" : `base/${database}`;
  const stretches: FileStretch[] = [];
  const end = firstBlock + blocks;
  for (let block = firstBlock; block < end;) {
    const number = Math.floor(block / blocksInFile);
    const until = Math.min(end, (number + 1) * blocksInFile);
    const part = number === 0 ? "" : `.${number}`;
    stretches.push({
      file: `${folder}/${filenode}${ending}${part}`,
      atBytes: (block - number * blocksInFile) * blockBytes,
      bytes: (until - block) * blockBytes,
    });
    block = until;
  }
  return stretches;
}

/**
 * Privileges on functions of our own in pg_catalog are how they were born: pg_dump has those that differ from that. Needs
 * allow_system_table_mods.
 */
export const initialPrivilegesSql =
  "INSERT INTO pg_catalog.pg_init_privs (objoid, classoid, objsubid, privtype, initprivs) " +
  "SELECT oid, 'pg_catalog.pg_proc'::pg_catalog.regclass, 0, 'i', proacl FROM pg_catalog.pg_proc p " +
  "WHERE pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND proname ~ '^(borealis|aurora_inject)_' AND proacl IS NOT NULL " +
  "AND NOT EXISTS (SELECT FROM pg_catalog.pg_init_privs i WHERE i.objoid = p.oid " +
  "AND i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass)";

/**
 * What the view of the extension pg_buffercache is made of (pg_buffercache--1.2.sql). One function in one database instead
 * of the extension: in pg_catalog no dump has it, and nobody's CREATE EXTENSION meets it.
 */
export const bufferFunctionSql = {
  find: "SELECT pg_catalog.to_regprocedure('pg_catalog.borealis_buffers()')",
  create:
    "CREATE FUNCTION pg_catalog.borealis_buffers() RETURNS SETOF record " +
    "AS '$libdir/pg_buffercache', 'pg_buffercache_pages' LANGUAGE C PARALLEL SAFE; " +
    "REVOKE ALL ON FUNCTION pg_catalog.borealis_buffers() FROM PUBLIC; " +
    `SET LOCAL allow_system_table_mods = on; ${initialPrivilegesSql}`,
} as const;

/** Blocks of the default tablespaces that were used more than once lately; gaps of up to 16 blocks are read with them. */
export const hotRangesSql = `
  WITH hot AS (
    SELECT reldatabase AS d, relfilenode AS f, relforknumber AS k, relblocknumber AS b
    FROM pg_catalog.borealis_buffers() AS p (bufferid int4, relfilenode oid, reltablespace oid,
      reldatabase oid, relforknumber int2, relblocknumber int8, isdirty bool, usagecount int2, pins int4)
    WHERE relfilenode IS NOT NULL AND reltablespace IN (1663, 1664) AND usagecount > 1
  ), steps AS (
    SELECT d, f, k, b, (b - lag(b, 1, -100::int8) OVER w > 16)::int AS begins
    FROM hot WINDOW w AS (PARTITION BY d, f, k ORDER BY b)
  ), islands AS (
    SELECT d, f, k, b, sum(begins) OVER (PARTITION BY d, f, k ORDER BY b) AS island FROM steps
  )
  SELECT d, f, k, min(b), max(b) - min(b) + 1 AS blocks FROM islands GROUP BY d, f, k, island
  ORDER BY count(*) DESC LIMIT ${rangesMax}`;
