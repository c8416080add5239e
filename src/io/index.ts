/**
 * The world behind interfaces: clock, randomness, sockets, disks, processes' control lines, logs. Shells reach the
 * outside only through this room, so a simulator can stand in for all of it. Start with connection.ts and rpc-line.ts.
 */
export { type Address, formatAddress, parseAddress, type PlainAddress } from "../base/address.ts";
export { type AddressList, openAddressList } from "./address-list.ts";
export { type BlockingSocket, takeFromLoop } from "./blocking-socket.ts";
export { findBootId } from "./boot-id.ts";
export { afterReading, type Clock, realClock, sleep, type Timer } from "./clock.ts";
export { type ClusterCredential, type ClusterRole, roleName, type TlsDial } from "./cluster-tls.ts";
export {
  closedConnection,
  Connection,
  dial,
  type DialOptions,
  listen,
  type Listener,
  type ListenOptions,
} from "./connection.ts";
export { readCpuTime } from "./cpu-time.ts";
export {
  readChildren,
  readMainThreadStat,
  readProcessStat,
  ticksPerSecond,
} from "./process-stat.ts";
export {
  blocking,
  type Disk,
  type DiskFile,
  type FileFacts,
  type OpenMode,
  realDisk,
  systemCodeOf,
} from "./disk.ts";
export { type Entropy, realEntropy, realRng } from "./entropy.ts";
export {
  type HttpAnswer,
  type HttpCall,
  type HttpClient,
  type HttpClientOptions,
  openHttpClient,
} from "./http-client.ts";
export { foundWithin } from "./found-within.ts";
export { orAborted } from "./or-aborted.ts";
export { type HttpReply, type HttpRequest, type HttpServer, serveHttp } from "./http-server.ts";
export { type Logger, type LogOptions, openLogger } from "./logger.ts";
export { realPath } from "./real-path.ts";
export { retry, type RetryOptions } from "./retry.ts";
export { connectRpc, RpcClient } from "./rpc-client.ts";
export { type RpcHandler, type RpcPeer, type RpcServer, serveRpc } from "./rpc-server.ts";
export { Scope } from "./scope.ts";
export { realSecretFiles, type SecretFiles } from "./secret-file.ts";
export { listenTls, type TlsListenOptions, type TlsRefusal } from "./tls-listener.ts";
export { acceptTls, openTlsServer, type TlsIdentity, type TlsServer } from "./tls.ts";
export { type ParentThread, startWorker, type WorkerMain, type WorkerThread } from "./worker.ts";
