import { createInterface } from "node:readline/promises";
import { print } from "./print.ts";

/** Asks whoever sits at the terminal; true if they type the word. Anything else, Ctrl-C and Ctrl-D are a no. */
export async function isConfirmed(word: string): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return (await lines.question(`Type ${word} to go on: `)).trim() === word;
  } catch (error) {
    if (!(error instanceof Error && error.name === "AbortError")) throw error;
    print();
    return false;
  } finally {
    lines.close();
  }
}
