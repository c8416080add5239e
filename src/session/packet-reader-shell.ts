import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import type { Connection } from "../io/index.ts";
import {
  findStartupPacket,
  loginBytesMax,
  startupBytesMax,
  type StartupPacket,
} from "../wire/index.ts";

const gone = new BorealisError(sqlState.connectionFailure, "the client went away");

/** Whole packets of a client that is not logged in yet, one at a time. What it sends ahead is bounded. */
export class PacketReader {
  private readonly connection: Connection;
  private bytes: Buffer = Buffer.alloc(0);
  private hasEnded = false;
  private wake: (() => void) | undefined;
  private isDropping = false;
  /** For what: whole packets of the client, or something of ours that it has to wait for. */
  waitsFor: "client" | "us" | undefined;
  private failure: BorealisError | undefined;

  constructor(connection: Connection) {
    this.connection = connection;
    const onGone = (): void => {
      this.hasEnded = true;
      this.wake?.();
    };
    connection.onEnd(onGone);
    connection.onClose(onGone);
    connection.onData((chunk) => {
      if (this.isDropping) return;
      this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
      // One packet is never larger; the rest stays in the kernel until the session reads it.
      if (this.bytes.length > loginBytesMax) connection.pause();
      this.wake?.();
    });
  }

  get isGone(): boolean {
    return this.hasEnded;
  }

  get bufferedBytes(): number {
    return this.bytes.length;
  }

  /** Nothing more of what it sends is wanted. */
  dropAll(): void {
    this.isDropping = true;
    this.bytes = Buffer.alloc(0);
    this.connection.resume();
  }

  /** Ends the wait for a packet, now or later, with this error. */
  abort(error: BorealisError): void {
    this.failure = error;
    this.wake?.();
  }

  /** The first byte, without taking it. */
  async firstByte(): Promise<number> {
    await this.until(() => this.bytes.length > 0);
    return this.bytes[0] ?? 0;
  }

  async startupPacket(): Promise<StartupPacket> {
    let found = findStartupPacket(this.bytes);
    while (!found) {
      const { length } = this.bytes;
      await this.until(() => this.bytes.length > length);
      found = findStartupPacket(this.bytes);
    }
    this.bytes = this.bytes.subarray(found.lengthBytes);
    return found.packet;
  }

  /** The body of one message of the given type. Its length is checked before the body is waited for. */
  async message(type: number): Promise<Buffer> {
    await this.until(() => this.bytes.length >= 5);
    const length = this.bytes.readUInt32BE(1);
    const got = this.bytes[0] ?? 0;
    if (got !== type)
      throw new ProtocolViolation(`expected password response, got message type ${got}`);
    if (length < 4 || length > startupBytesMax * 2)
      throw new ProtocolViolation("invalid message length");
    await this.until(() => this.bytes.length > length);
    const body = this.bytes.subarray(5, length + 1);
    this.bytes = this.bytes.subarray(length + 1);
    return body;
  }

  /** What `work` comes to, unless the client goes, or the wait is aborted, before. Raises BorealisError then. */
  async unlessOver<T>(work: Promise<T>): Promise<T> {
    let result: { readonly value: T } | undefined;
    const done = work.then((value) => {
      result = { value };
    });
    for (;;) {
      if (result) return result.value;
      if (this.failure) throw this.failure;
      if (this.hasEnded) throw gone;
      this.readOn();
      const woken = new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.waitsFor = "us";
      await Promise.race([done, woken]);
      this.waitsFor = undefined;
      this.wake = undefined;
    }
  }

  /** All that was read and not used. */
  takeRest(): Buffer {
    const rest = this.bytes;
    this.bytes = Buffer.alloc(0);
    return rest;
  }

  /** Whoever sends more than any packet has is read on when that has been taken. */
  private readOn(): void {
    if (this.bytes.length <= loginBytesMax) this.connection.resume();
  }

  private async until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      if (this.failure) throw this.failure;
      if (this.hasEnded) throw gone;
      this.readOn();
      this.waitsFor = "client";
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
      this.waitsFor = undefined;
      this.wake = undefined;
    }
    if (this.failure) throw this.failure;
  }
}
