/**
 * An application with AWS's Node wrapper around node-postgres. Each line of its standard input is a call, as JSON; each line of
 * its output what came of one. Host names in HOSTS (JSON) are looked up there, as in /etc/hosts.
 */
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const hosts = new Map(Object.entries(JSON.parse(process.env.HOSTS ?? "{}")));
const { lookup } = dns;
dns.lookup = (name, options, callback) => {
  const address = hosts.get(name);
  if (address === undefined) return lookup(name, options, callback);
  const [given, done] = typeof options === "function" ? [{}, options] : [options, callback];
  return given.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4);
};
// As the system's own gives it: promisify knows that one's two results by a mark that only Node can make.
dns.lookup[promisify.custom] = async (name, options) => {
  const address = hosts.get(name);
  return address === undefined ? promisify(lookup)(name, options) : { address, family: 4 };
};
syncBuiltinESMExports();

const { AwsPGClient } = await import("aws-advanced-nodejs-wrapper/pg");
const { AwsPoolConfig, ConnectTimePlugin, InternalPooledConnectionProvider, PluginManager } =
  await import("aws-advanced-nodejs-wrapper");
const clients = new Map();
const pools = new InternalPooledConnectionProvider(new AwsPoolConfig({ maxConnections: 10 }));

const calls = {
  connect: async ({ client, config: { isPooled, ...config } }) => {
    const made = new AwsPGClient(isPooled ? { ...config, connectionProvider: pools } : config);
    clients.set(client, made);
    await made.connect();
  },
  query: async ({ client, sql }) => (await clients.get(client).query(sql)).rows,
  setReadOnly: async ({ client, isReadOnly }) => {
    await clients.get(client).setReadOnly(isReadOnly);
  },
  /** What the wrapper believes: its dialect, where it is connected, and who is what; and where it is connected in truth. */
  sight: async ({ client }) => {
    const { pluginService, targetClient } = clients.get(client);
    const { host, role } = pluginService.getCurrentHostInfo();
    const topology = pluginService.getAllHosts().map((one) => [one.hostId, one.host, one.role]);
    const address = targetClient.client.connection.stream.remoteAddress;
    return { dialect: pluginService.getDialect().getDialectName(), host, address, role, topology };
  },
  /**
   * Waits until its monitors of the topology stay with the writer. Version 2.0.1 is deaf, if a connection fails over while one of them
   * is about to: it then believes to have the writer and has nobody, and looks no more (cluster_topology_monitor.ts: the writer counts as
   * verified after an await in which forceMonitoringRefresh() may have taken the client away).
   */
  settle: async ({ client }) => {
    const { monitors } = clients.get(client).pluginService.getHostListProvider().constructor;
    const isSettled = ({ item }) =>
      item.monitoringClient && item.isVerifiedWriterConnection && item.hostMonitors.size === 0;
    while (monitors && ![...monitors.map.values()].every(isSettled))
      await new Promise((resolve) => setTimeout(resolve, 20));
  },
  /** Of all connections so far, as its plugin has measured it; in nanoseconds, and as text. */
  connectTime: async () => String(ConnectTimePlugin.getTotalConnectTime()),
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
