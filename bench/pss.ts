/** Memory of processes and all that they started: what is shared counts for each by its part (PSS). */
import { readFileSync } from "node:fs";
import { processesOf } from "./cpu.ts";

export interface Memory {
  readonly totalKib: number;
  /** By what the process is. */
  readonly byProcess: ReadonlyMap<string, number>;
}

export function memoryOf(roots: readonly number[]): Memory {
  const byProcess = new Map<string, number>();
  let totalKib = 0;
  for (const { pid, label } of processesOf(roots)) {
    const kib = pssOf(pid);
    totalKib += kib;
    byProcess.set(label, (byProcess.get(label) ?? 0) + kib);
  }
  return { totalKib, byProcess };
}

/** Of the kernel's smaps_rollup. Raises an Error if the line is not there. */
export function parsePss(rollup: string): number {
  const found = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
  if (found === undefined) throw new Error(`no Pss in "${rollup}"`);
  return Number(found);
}

function pssOf(pid: number): number {
  let rollup: string;
  try {
    rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES") throw error;
    return 0; // it has ended meanwhile
  }
  return rollup === "" ? 0 : parsePss(rollup);
}
