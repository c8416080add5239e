// A process of its own for npm's s3rver: `node --openssl-legacy-provider s3rver.mjs FOLDER BUCKET` says its port on stdout,
// and ends with its stdin. (Its continuation tokens are DES, which OpenSSL 3 gives only to those who ask.)
import S3rver from "s3rver";

const [, , directory, bucket] = process.argv;
const server = new S3rver({
  address: "127.0.0.1",
  port: 0,
  silent: true,
  directory,
  vhostBuckets: false,
  configureBuckets: [{ name: bucket }],
});
const { port } = await server.run();
console.log(port);
process.stdin.on("end", () => process.exit(0)).resume();
