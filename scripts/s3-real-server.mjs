// Runs the tests of S3 stores against OpenStack Swift with its S3 API: `node scripts/s3-real-server.mjs`, as root on Debian.
// Installs python3-swift (libraries, no service) and memcached (whose service is kept from starting), writes rings and
// settings into a temporary folder, starts the four servers and a memcached on loopback, makes the buckets, runs
// test/s3.test.ts, and ends what it started. `--stay` keeps the servers until Ctrl-C and says the URL.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { AwsClient } from "aws4fetch";
import { root } from "./prepare.mjs";

// Debian's own: swift's modules are installed for no other.
const python = "/usr/bin/python3";
const accessKeyId = "borealis:tester";
const secretAccessKey = "a-secret-for-tests";
const region = "us-east-1";
const bucket = "borealis-test";
const fullBucket = "borealis-full";
const fullBytes = 1_000;
const readyMs = 30_000;
const policyFile = "/usr/sbin/policy-rc.d";
const user = userInfo().username;

function must(command, args, env = process.env) {
  const result = spawnSync(command, args, { encoding: "utf8", env });
  if (result.status === 0) return result.stdout;
  throw new Error(`${command} ${args.join(" ")} failed:\n${result.stdout}${result.stderr}`);
}

function installSwift() {
  const isThere =
    spawnSync(python, ["-c", "import swift, pyeclib"]).status === 0 &&
    spawnSync("memcached", ["-V"]).status === 0;
  if (isThere) return;
  console.log("installing python3-swift and memcached ...");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // Debian's way to say that packages start nothing (invoke-rc.d(8)).
  const hasPolicy = existsSync(policyFile);
  if (!hasPolicy) writeFileSync(policyFile, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    must("apt-get", ["update"], env);
    must(
      "apt-get",
      ["install", "-y", "--no-install-recommends", "python3-swift", "memcached"],
      env,
    );
  } finally {
    if (!hasPolicy) rmSync(policyFile);
  }
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

/** Python that reads swift.conf from `folder`, not from /etc/swift, and then does the rest. */
function swiftCode(folder, rest) {
  return `import swift.common.utils as utils\nutils.SWIFT_CONF_FILE = ${JSON.stringify(join(folder, "swift.conf"))}\n${rest}`;
}

function writeSettings(folder, ports) {
  const common = (port) =>
    `[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = ${port}\nworkers = 0\nuser = ${user}\nswift_dir = ${folder}\n` +
    `devices = ${join(folder, "devices")}\nmount_check = false\n`;
  const proxyLine =
    "catch_errors gatekeeper healthcheck cache listing_formats s3api tempauth bulk slo dlo versioned_writes container_quotas proxy-server";
  writeFileSync(
    join(folder, "swift.conf"),
    "[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n" +
      "[storage-policy:0]\nname = one\ndefault = yes\n",
  );
  writeFileSync(
    join(folder, "proxy.conf"),
    `${common(ports.proxy)}[pipeline:main]\npipeline = ${proxyLine}\n[app:proxy-server]\nuse = egg:swift#proxy\n` +
      "account_autocreate = true\nrecheck_container_existence = 1\n" +
      proxyLine
        .split(" ")
        .slice(0, -1)
        .map((name) => `[filter:${name}]\nuse = egg:swift#${name}\n`)
        .join("")
        .replace(
          "egg:swift#cache\n",
          `egg:swift#memcache\nmemcache_servers = 127.0.0.1:${ports.memcached}\n`,
        )
        .replace("egg:swift#s3api\n", `egg:swift#s3api\nlocation = ${region}\n`)
        .replace(
          "egg:swift#tempauth\n",
          `egg:swift#tempauth\nuser_${accessKeyId.replace(":", "_")} = ${secretAccessKey} .admin\n`,
        ),
  );
  for (const kind of ["account", "container", "object"]) {
    writeFileSync(
      join(folder, `${kind}.conf`),
      `${common(ports[kind])}[pipeline:main]\npipeline = ${kind}-server\n` +
        `[app:${kind}-server]\nuse = egg:swift#${kind}\n`,
    );
    mkdirSync(join(folder, "devices", "disk"), { recursive: true });
    const ring = (...args) =>
      must(python, [
        "-c",
        "import sys; from swift.cli.ringbuilder import main; main(['ring', *sys.argv[1:]])",
        join(folder, `${kind}.builder`),
        ...args,
      ]);
    ring("create", "4", "1", "0");
    ring("add", `r1z1-127.0.0.1:${ports[kind]}/disk`, "1");
    ring("rebalance");
  }
}

function startServer(folder, kind) {
  const log = openSync(join(folder, `${kind}.log`), "a");
  const code =
    `import sys\nfrom swift.common.wsgi import run_wsgi\n` +
    (kind === "object" ? "from swift.obj import server\n" : "") +
    `sys.exit(run_wsgi(sys.argv[1], '${kind}-server', verbose=True` +
    `${kind === "object" ? ", global_conf_callback=server.global_conf_callback" : ""}))`;
  const args = ["-c", swiftCode(folder, code), join(folder, `${kind}.conf`)];
  return spawn(python, args, { stdio: ["ignore", log, log] });
}

function startMemcached(folder, port) {
  const log = openSync(join(folder, "memcached.log"), "a");
  const args = ["-u", user, "-l", "127.0.0.1", "-p", String(port), "-U", "0"];
  return spawn("memcached", args, { stdio: ["ignore", log, log] });
}

async function untilReady(url, children, folder) {
  const deadlineMs = Date.now() + readyMs;
  for (;;) {
    const isUp = await fetch(`${url}/healthcheck`).then(
      (reply) => reply.ok,
      () => false,
    );
    if (isUp) return;
    const dead = Object.keys(children).find((kind) => children[kind].exitCode !== null);
    if (dead !== undefined || Date.now() > deadlineMs) {
      const log = readFileSync(join(folder, `${dead ?? "proxy"}.log`), "utf8");
      throw new Error(`swift's ${dead ?? "proxy"} server does not run:\n${log.slice(-4_000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

async function makeBuckets(folder, endpoint) {
  const client = new AwsClient({ accessKeyId, secretAccessKey, service: "s3", region, retries: 2 });
  for (const name of [bucket, fullBucket]) {
    const reply = await client.fetch(`${endpoint}/${name}`, { method: "PUT" });
    if (!reply.ok) throw new Error(`no bucket ${name}: ${reply.status} ${await reply.text()}`);
  }
  // A quota is set through Swift's own API; its internal client needs no token for that.
  writeFileSync(
    join(folder, "internal.conf"),
    `[DEFAULT]\nswift_dir = ${folder}\n[pipeline:main]\npipeline = catch_errors proxy-server\n` +
      "[app:proxy-server]\nuse = egg:swift#proxy\n[filter:catch_errors]\nuse = egg:swift#catch_errors\n",
  );
  const code =
    `import sys\nfrom swift.common.internal_client import InternalClient\n` +
    `client = InternalClient(sys.argv[1], 'borealis', 1, allow_modify_pipeline=False)\n` +
    `client.set_container_metadata('AUTH_borealis', '${fullBucket}', {'X-Container-Meta-Quota-Bytes': '${fullBytes}'})`;
  must(python, ["-c", swiftCode(folder, code), join(folder, "internal.conf")]);
}

async function runTests(endpoint) {
  const urlOf = (name) => `s3://${name}/volume?endpoint=${endpoint}&region=${region}`;
  const env = {
    ...process.env,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    BOREALIS_TEST_S3_URL: urlOf(bucket),
    BOREALIS_TEST_S3_FULL_URL: urlOf(fullBucket),
  };
  if (process.argv.includes("--stay")) {
    console.log(`BOREALIS_TEST_S3_URL='${env.BOREALIS_TEST_S3_URL}'`);
    console.log(`BOREALIS_TEST_S3_FULL_URL='${env.BOREALIS_TEST_S3_FULL_URL}'`);
    console.log(`AWS_ACCESS_KEY_ID=${accessKeyId} AWS_SECRET_ACCESS_KEY=${secretAccessKey}`);
    await once(process, "SIGINT");
    return 0;
  }
  const vitest = join(root, "node_modules", ".bin", "vitest");
  const args = ["run", "--project", "system", "test/s3.test.ts", "-t", "against the service"];
  const child = spawn(vitest, args, { cwd: root, env, stdio: "inherit" });
  // So that what was started is ended first; a terminal's Ctrl-C reaches the tests by itself.
  process.on("SIGINT", () => {}).on("SIGTERM", () => child.kill("SIGTERM"));
  const [code] = await once(child, "exit");
  return code ?? 1;
}

async function main() {
  installSwift();
  const folder = mkdtempSync(join(tmpdir(), "borealis-swift-"));
  const children = {};
  try {
    const [proxy, account, container, object, memcached] = await freePorts(5);
    writeSettings(folder, { proxy, account, container, object, memcached });
    children.memcached = startMemcached(folder, memcached);
    for (const kind of ["account", "container", "object", "proxy"]) {
      children[kind] = startServer(folder, kind);
    }
    const endpoint = `http://127.0.0.1:${proxy}`;
    await untilReady(endpoint, children, folder);
    await makeBuckets(folder, endpoint);
    const version = must(python, ["-c", "import swift; print(swift.__version__)"]).trim();
    console.log(`OpenStack Swift ${version} with S3 API at ${endpoint}`);
    return await runTests(endpoint);
  } finally {
    for (const child of Object.values(children)) {
      child.kill("SIGTERM");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exit(await main());
