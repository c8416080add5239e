import type { StatusReport } from "./status-messages.ts";

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}

function table(
  heading: string,
  columns: readonly string[],
  rows: readonly (readonly (string | number | null)[])[],
): string {
  const head = columns.map((column) => `<th>${escapeHtml(column)}</th>`).join("");
  const body = rows
    .map(
      (row) =>
        `<tr>${row.map((cell) => `<td>${escapeHtml(cell === null ? "–" : String(cell))}</td>`).join("")}</tr>`,
    )
    .join("\n");
  return `<h2>${escapeHtml(heading)}</h2><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>`;
}

function mebibytes(bytes: number | null): string | null {
  return bytes === null ? null : `${(bytes / 1_048_576).toFixed(1)} MiB`;
}

const style = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1rem; margin: 2rem 0 .3rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884 }
th { font-weight: 600; opacity: .7 } .state { padding: .1rem .6rem; border-radius: 1rem; background: #2a7; color: #fff }
.state.bad { background: #c43 } p { opacity: .7 }`;

/** The status page: the same facts as `borealis status`, for a browser. Reloads itself; holds no secret. */
export function statusPage(report: StatusReport): string {
  const { cluster } = report;
  const isGood = cluster.state === "available";
  const endpoints = report.endpoints.map((one) => [
    one.id,
    one.type,
    `${one.host}:${one.port}`,
    one.members.join(", "),
  ]);
  const instances = report.instances.map((one) => [
    one.id,
    one.role,
    one.az,
    one.state,
    one.replayLsn,
    one.lagMs === null ? null : `${one.lagMs.toFixed(1)} ms`,
  ]);
  const storage = report.storage.map((one) => [
    one.id,
    one.kind,
    one.state,
    one.scl,
    one.epoch,
    mebibytes(one.bytes),
  ]);
  const { volume } = report;
  const sizes = [volume.bytes, volume.logBytes, volume.extentBytes, volume.sharedBytes];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width"><title>Borealis · ${escapeHtml(cluster.state)}</title><style>${style}</style></head><body>
<h1>Borealis <span class="state${isGood ? "" : " bad"}">${escapeHtml(cluster.state)}</span></h1>
<p>PostgreSQL ${escapeHtml(cluster.engineVersion)} · epoch ${cluster.epoch} · timeline ${cluster.timeline} · VDL ${escapeHtml(cluster.vdl ?? "–")}</p>
${table("Endpoints", ["endpoint", "type", "address", "members"], endpoints)}
${table("Instances", ["instance", "role", "zone", "state", "replayed to", "lag"], instances)}
${table("Storage nodes (4 of 6 to write, 3 of 6 to recover)", ["node", "kind", "state", "complete to (SCL)", "epoch", "log"], storage)}
${table("Volume", ["size", "log", "extents", "shared with clones", "snapshots"], [[...sizes.map(mebibytes), volume.snapshots]])}
</body></html>`;
}
