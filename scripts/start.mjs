#!/usr/bin/env node
// `npm start` and `npx borealis`: prepares a checkout if need be, then runs the command line in this same process,
// so that signals arrive.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { buildIfStale, checkNode, installIfStale, root } from "./prepare.mjs";

// A command line is everybody's to read, and a build may take a while.
if (process.argv.some((argument) => /^--password(?:=|$)/.test(argument)))
  process.title = "borealis";
checkNode();
if (existsSync(join(root, "src"))) {
  installIfStale({ isDevelopment: !existsSync(join(root, "dist", ".stamp")) });
  buildIfStale();
}
const app = new URL("../dist/app/cli.js", import.meta.url);
await import(existsSync(app) ? app.href : "../dist/main/cli.js");
