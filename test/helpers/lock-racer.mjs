// One of several processes that want the same lock at the same moment. Started with the compiled dir-lock as its argument.
const { takeLock } = await import(process.argv[2]);
process.title = "borealis racer";
let release = () => undefined;
process.on("message", ({ file, atMs }) => {
  if (file === undefined) {
    release();
    release = () => undefined;
    process.send({ kind: "released" });
    return;
  }
  // As near to the others as can be.
  while (Date.now() < atMs);
  const taken = takeLock(file);
  if (taken.kind === "taken") release = taken.release;
  process.send(taken.kind === "held" ? { kind: "held", pid: taken.pid } : { kind: taken.kind });
});
process.send({ kind: "ready" });
