/**
 * An application with AWS's Node wrapper around node-postgres. Each line of its standard input is a call, as JSON; each line of
 * its output what came of one. Host names in HOSTS (JSON) are looked up there, as in /etc/hosts.
 */
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import { createInterface } from "node:readline";

const hosts = new Map(Object.entries(JSON.parse(process.env.HOSTS ?? "{}")));
const { lookup } = dns;
dns.lookup = (name, options, callback) => {
  const address = hosts.get(name);
  if (address === undefined) return lookup(name, options, callback);
  const [given, done] = typeof options === "function" ? [{}, options] : [options, callback];
  return given.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4);
};
syncBuiltinESMExports();

const { AwsPGClient } = await import("aws-advanced-nodejs-wrapper/pg");
const { PluginManager } = await import("aws-advanced-nodejs-wrapper");
const clients = new Map();

const calls = {
  connect: async ({ client, config }) => {
    const made = new AwsPGClient(config);
    clients.set(client, made);
    await made.connect();
  },
  query: async ({ client, sql }) => (await clients.get(client).query(sql)).rows,
  setReadOnly: async ({ client, isReadOnly }) => {
    await clients.get(client).setReadOnly(isReadOnly);
  },
  /** What the wrapper believes: its dialect, where it is connected, and who is what. */
  sight: async ({ client }) => {
    const { pluginService } = clients.get(client);
    const { host, role } = pluginService.getCurrentHostInfo();
    const topology = pluginService.getAllHosts().map((one) => [one.hostId, one.host, one.role]);
    return { dialect: pluginService.getDialect().getDialectName(), host, role, topology };
  },
  end: async ({ client }) => {
    await clients.get(client).end();
    clients.delete(client);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, ...parameters } = JSON.parse(line);
  const tell = (answer) => process.stdout.write(`${JSON.stringify({ id, ...answer })}\n`);
  calls[call](parameters).then(
    (result) => tell({ result: result ?? null }),
    ({ constructor, code, message }) => tell({ error: { name: constructor.name, code, message } }),
  );
}
for (const client of clients.values()) await client.end().catch(() => undefined);
await PluginManager.releaseResources();
process.exit(0);
